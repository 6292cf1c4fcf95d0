-- The console's own tables: local accounts and the audit trail. Never rebuilt: they exist nowhere else.

CREATE TABLE IF NOT EXISTS console_accounts (
    name text PRIMARY KEY CHECK (name ~ '^[a-z][a-z0-9._-]{1,31}$'),
    password_hash text NOT NULL,
    roles text[] NOT NULL CHECK (roles <@ ARRAY['viewer', 'operator', 'approver', 'auditor']),
    manages_accounts boolean NOT NULL DEFAULT false,
    disabled boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Who did what to which object, why and when. Only inserted: a rule of the table, not a habit of the program.
CREATE TABLE IF NOT EXISTS console_audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    person text NOT NULL,
    act text NOT NULL,
    object text NOT NULL DEFAULT '',
    reason text NOT NULL DEFAULT '',
    address text NOT NULL DEFAULT ''
);
CREATE OR REPLACE RULE console_audit_no_update AS ON UPDATE TO console_audit DO INSTEAD NOTHING;
CREATE OR REPLACE RULE console_audit_no_delete AS ON DELETE TO console_audit DO INSTEAD NOTHING;

-- Acts on many cases (R27): proposed by one person, carried out when a second has approved; or done alone within
-- the limit and countersigned afterwards. items: what was shown to both, [{caseNo, dispatch, attempts}].
CREATE TABLE IF NOT EXISTS console_acts (
    id text PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    member text NOT NULL,
    code text NOT NULL DEFAULT '',
    items jsonb NOT NULL,
    person text NOT NULL,
    reason text NOT NULL,
    alone boolean NOT NULL,
    second text NOT NULL DEFAULT '',
    second_at timestamptz,
    done_at timestamptz,
    CHECK (second <> person)
);
