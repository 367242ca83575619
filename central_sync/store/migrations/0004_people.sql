-- People, their sessions, one-time links to set a password, lock-outs of logins; when a token was last used.

CREATE TABLE user (
    id         TEXT PRIMARY KEY,
    login      TEXT NOT NULL UNIQUE,
    name       TEXT NOT NULL,
    role       TEXT NOT NULL,
    labels     TEXT NOT NULL DEFAULT '{}',
    -- argon2id with its parameters and salt; NULL: none is set yet.
    password   TEXT,
    created    INTEGER NOT NULL,
    last_login INTEGER,
    disabled   INTEGER
) WITHOUT ROWID;

-- Kept for a while after their end: an address that a user came from is not held up by a lock-out of his.
CREATE TABLE session (
    id        TEXT PRIMARY KEY,
    digest    BLOB NOT NULL,
    user      TEXT NOT NULL REFERENCES user (id),
    created   INTEGER NOT NULL,
    expires   INTEGER NOT NULL,
    last_used INTEGER NOT NULL,
    ended     INTEGER,
    address   TEXT NOT NULL,
    agent     TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX session_user ON session (user, created);

-- user NULL: makes the first admin.
CREATE TABLE setup_link (
    digest  BLOB PRIMARY KEY,
    user    TEXT REFERENCES user (id),
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL
) WITHOUT ROWID;

-- subject: account:LOGIN or address:ADDRESS.
CREATE TABLE lockout (
    subject  TEXT PRIMARY KEY,
    failures INTEGER NOT NULL,
    last     INTEGER NOT NULL,
    until    INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX lockout_last ON lockout (last);

ALTER TABLE token ADD COLUMN last_used INTEGER;
