-- Enrolment: what operators have prepared, who asks, and whose hardware each credential belongs to.

-- Signs enrolment tokens; made at first use.
CREATE TABLE enrolment_key (
    no      INTEGER PRIMARY KEY CHECK (no = 1),
    secret  BLOB NOT NULL,
    created INTEGER NOT NULL
);

-- A prepared enrolment and its token, of which the SHA-256 is kept. device NULL: any that is not enrolled yet.
-- limits: those of who made it; a device outside of them does not exist for its token either.
CREATE TABLE pre_registration (
    id            TEXT PRIMARY KEY,
    digest        BLOB NOT NULL,
    device        TEXT,
    serial        TEXT,
    without_token INTEGER NOT NULL DEFAULT 0,
    zone          TEXT,
    labels        TEXT NOT NULL DEFAULT '{}',
    limits        TEXT NOT NULL DEFAULT '{}',
    note          TEXT NOT NULL DEFAULT '',
    uses          INTEGER NOT NULL,
    used          INTEGER NOT NULL DEFAULT 0,
    author        TEXT NOT NULL,
    created       INTEGER NOT NULL,
    expires       INTEGER NOT NULL,
    revoked       INTEGER
) WITHOUT ROWID;
CREATE INDEX pre_registration_device ON pre_registration (device) WHERE device IS NOT NULL;

-- Who asked without a token, until an operator decides. id: the first 12 digits of the key's SHA-256.
CREATE TABLE enrolment_request (
    id      TEXT PRIMARY KEY,
    digest  BLOB NOT NULL,
    device  TEXT,
    machine TEXT NOT NULL,
    serial  TEXT,
    facts   TEXT NOT NULL,
    address TEXT NOT NULL,
    state   TEXT NOT NULL DEFAULT 'pending',
    reason  TEXT NOT NULL DEFAULT '',
    created INTEGER NOT NULL,
    asked   INTEGER NOT NULL,
    expires INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX enrolment_request_state ON enrolment_request (state, expires);

-- On which hardware a credential's key was made. The credential itself is the token of this id.
CREATE TABLE credential (
    id      TEXT PRIMARY KEY REFERENCES token (id),
    device  TEXT NOT NULL,
    machine TEXT NOT NULL,
    serial  TEXT,
    way     TEXT NOT NULL,
    address TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX credential_device ON credential (device);
CREATE INDEX credential_machine ON credential (machine);

-- Which credential another one waits for: asked when that one is looked up.
CREATE INDEX token_successor ON token (successor) WHERE successor IS NOT NULL;

-- Two agents with one identity: where the newest run reports from, and since and until when runs alternated.
ALTER TABLE device ADD COLUMN address TEXT NOT NULL DEFAULT '';
ALTER TABLE device ADD COLUMN conflict TEXT NOT NULL DEFAULT '';
ALTER TABLE device ADD COLUMN conflict_since INTEGER;
ALTER TABLE device ADD COLUMN conflict_at INTEGER;
