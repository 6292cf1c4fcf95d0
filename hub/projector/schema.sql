-- The read side's tables. Everything here is rebuilt from the topics: drop the schema and the projector fills it again.
-- Applied at every start, in one transaction, under an advisory lock; each statement leaves an existing object as it is.

CREATE TABLE IF NOT EXISTS projector_schema (
    version integer PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT now()
);

-- One row per distinct message id (消息). Columns from case.inbound stay empty for messages the hub made itself.
CREATE TABLE IF NOT EXISTS messages (
    id text PRIMARY KEY,
    case_no text NOT NULL,
    type text NOT NULL,
    source text NOT NULL,
    source_ref text NOT NULL DEFAULT '',
    digest text NOT NULL DEFAULT '',
    region text NOT NULL DEFAULT '',
    item text NOT NULL DEFAULT '',
    occurred_at timestamptz,
    received_at timestamptz,
    routed_at timestamptz,
    disposition text NOT NULL DEFAULT 'in_flight',
    reason text NOT NULL DEFAULT '',
    zh text NOT NULL DEFAULT '',
    en text NOT NULL DEFAULT '',
    originated boolean NOT NULL DEFAULT false,
    causation text NOT NULL DEFAULT '',
    tables_version text NOT NULL DEFAULT '',
    grade text NOT NULL DEFAULT '',
    body jsonb
);
-- Where its standing line is on case.routed, in the partition of its case.
ALTER TABLE messages ADD COLUMN IF NOT EXISTS ledger_offset bigint;
CREATE INDEX IF NOT EXISTS messages_case ON messages (case_no);
CREATE INDEX IF NOT EXISTS messages_open ON messages (disposition) WHERE disposition IN ('held', 'parked', 'in_flight');

-- One row per dispatch (派发): a message on its way to one member. in_flight = no outcome record yet.
CREATE TABLE IF NOT EXISTS dispatches (
    id text PRIMARY KEY,
    message_id text NOT NULL,
    case_no text NOT NULL,
    member text NOT NULL,
    kind text NOT NULL,
    outcome text NOT NULL DEFAULT 'in_flight',
    code text NOT NULL DEFAULT '',
    detail text NOT NULL DEFAULT '',
    attempts integer NOT NULL DEFAULT 0,
    listed_at timestamptz,
    at timestamptz,
    behind text NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS dispatches_case ON dispatches (case_no);
CREATE INDEX IF NOT EXISTS dispatches_message ON dispatches (message_id);
CREATE INDEX IF NOT EXISTS dispatches_open ON dispatches (outcome, member) WHERE outcome NOT IN ('delivered', 'refused', 'cancelled');

-- Where the signed root of a ledger's interval is on evidence.roots.
CREATE TABLE IF NOT EXISTS evidence_roots (
    lane text NOT NULL,
    sequence bigint NOT NULL,
    first_offset bigint NOT NULL,
    last_offset bigint NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    PRIMARY KEY (lane, sequence)
);
CREATE INDEX IF NOT EXISTS evidence_roots_place ON evidence_roots (lane, last_offset);

-- One row per case (办件) that was opened. The identifier is masked here already: lists never need the full one.
CREATE TABLE IF NOT EXISTS cases (
    case_no text PRIMARY KEY,
    item text NOT NULL DEFAULT '',
    region text NOT NULL DEFAULT '',
    project_name text NOT NULL DEFAULT '',
    applicant_masked text NOT NULL DEFAULT '',
    owner text NOT NULL DEFAULT '',
    origin text NOT NULL DEFAULT '',
    stage text NOT NULL DEFAULT '',
    opened_at timestamptz,
    updated_at timestamptz
);
CREATE INDEX IF NOT EXISTS cases_updated ON cases (updated_at DESC);

-- Which files (材料) belong to a routed case, by SM3 of the content.
CREATE TABLE IF NOT EXISTS files (
    case_no text NOT NULL,
    sm3 text NOT NULL,
    PRIMARY KEY (sm3, case_no)
);

-- Records that could not be read. Nothing is skipped without a row here.
CREATE TABLE IF NOT EXISTS projector_unreadable (
    topic text NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    error text NOT NULL,
    PRIMARY KEY (topic, partition, "offset")
);

CREATE TABLE IF NOT EXISTS projector_offsets (
    topic text NOT NULL,
    partition integer NOT NULL,
    next_offset bigint NOT NULL,
    PRIMARY KEY (topic, partition)
);

-- as_of: every record written before this time is in the tables. One row.
CREATE TABLE IF NOT EXISTS projector_status (
    the_one boolean PRIMARY KEY DEFAULT true CHECK (the_one),
    as_of timestamptz NOT NULL,
    lag bigint NOT NULL,
    written_at timestamptz NOT NULL DEFAULT now()
);

INSERT INTO projector_schema (version) VALUES (1) ON CONFLICT DO NOTHING;
