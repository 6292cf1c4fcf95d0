-- Notices: which there are and how far case.events was read. Rebuilt from the topic and the files: drop the tables
-- and the role fills them again; a notice whose file is there is listed, never made a second time.

CREATE TABLE IF NOT EXISTS notices (
    id text PRIMARY KEY,
    event_id text NOT NULL UNIQUE,
    case_no text NOT NULL,
    kind text NOT NULL,
    title text NOT NULL,
    made_at timestamptz NOT NULL,
    ofd_sm3 text NOT NULL,
    pdf_sm3 text NOT NULL
);
CREATE INDEX IF NOT EXISTS notices_case ON notices (case_no);

-- What later notices of a case need of its submission.
CREATE TABLE IF NOT EXISTS notice_cases (
    case_no text PRIMARY KEY,
    facts jsonb NOT NULL
);

-- Events that could not be read or laid out. Nothing is skipped without a row here.
CREATE TABLE IF NOT EXISTS notice_failures (
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    event_id text NOT NULL,
    error text NOT NULL,
    PRIMARY KEY (partition, "offset")
);

CREATE TABLE IF NOT EXISTS notice_offsets (
    partition integer PRIMARY KEY,
    next_offset bigint NOT NULL
);
