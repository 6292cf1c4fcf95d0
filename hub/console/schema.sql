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
