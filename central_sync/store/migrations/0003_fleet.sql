-- Tokens get owners, limits and an end; devices get labels; every change gets an entry in the audit trail.

CREATE TABLE token_3 (
    id       TEXT PRIMARY KEY,
    digest   BLOB NOT NULL,
    role     TEXT,
    device   TEXT,
    name     TEXT NOT NULL DEFAULT '',
    user     TEXT,
    labels   TEXT NOT NULL DEFAULT '{}',
    areas    TEXT,
    created  INTEGER NOT NULL,
    expires  INTEGER,
    revoked  INTEGER,
    -- The credential that follows this one, once it is used this one is revoked.
    successor TEXT,
    CHECK ((role IS NULL) <> (device IS NULL))
) WITHOUT ROWID;
INSERT INTO token_3 (id, digest, role, device, created, revoked)
    SELECT id, digest, role, device, created, revoked FROM token;
DROP TABLE token;
ALTER TABLE token_3 RENAME TO token;
CREATE INDEX token_device ON token (device) WHERE device IS NOT NULL;
CREATE INDEX token_user ON token (user) WHERE user IS NOT NULL;

ALTER TABLE device ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE device ADD COLUMN decommissioned INTEGER;

-- The labels that count: what the device reports, under what the registry says. `registry` 1: set by an
-- operator or an enrolment token. Limits of people and tokens look at these alone: no device can move itself
-- into another's sight.
CREATE TABLE device_label (
    device_no INTEGER NOT NULL REFERENCES device (no),
    key       TEXT NOT NULL,
    value     TEXT NOT NULL,
    registry  INTEGER NOT NULL,
    PRIMARY KEY (device_no, key)
) WITHOUT ROWID;
CREATE INDEX device_label_value ON device_label (key, value, device_no);

-- Append-only; the triggers stop mistakes, the chain shows tampering. hash = SHA-256 of the hash before it
-- and the canonical entry.
CREATE TABLE audit (
    no      INTEGER PRIMARY KEY,
    time    INTEGER NOT NULL,
    action  TEXT NOT NULL,
    entity  TEXT NOT NULL,
    name    TEXT NOT NULL,
    device  TEXT,
    actor   TEXT NOT NULL,
    entry   BLOB NOT NULL,
    hash    BLOB NOT NULL
);
CREATE INDEX audit_action ON audit (action, no);
CREATE INDEX audit_entity ON audit (entity, name, no);
CREATE INDEX audit_device ON audit (device, no) WHERE device IS NOT NULL;
CREATE INDEX audit_actor ON audit (actor, no);
CREATE TRIGGER audit_is_kept BEFORE UPDATE ON audit BEGIN
    SELECT RAISE(ABORT, 'the audit trail is append-only');
END;

-- Answers to POSTs that create, by Idempotency-Key: the same key gets the same answer, and nothing twice.
CREATE TABLE idempotency (
    owner   TEXT NOT NULL,
    key     TEXT NOT NULL,
    request BLOB NOT NULL,
    answer  BLOB NOT NULL,
    created INTEGER NOT NULL,
    PRIMARY KEY (owner, key)
) WITHOUT ROWID;
CREATE INDEX idempotency_created ON idempotency (created);
