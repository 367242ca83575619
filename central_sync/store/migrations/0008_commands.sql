-- Orders, and the commands that they are for single devices.
-- Columns that end in _at are times of the command clock (services/commands/clock.py), all others UTC.

CREATE TABLE command_order (
    no              INTEGER PRIMARY KEY,
    id              TEXT NOT NULL UNIQUE,
    type            TEXT NOT NULL,
    params          BLOB NOT NULL,
    targets         BLOB NOT NULL,
    author          TEXT NOT NULL,
    note            TEXT NOT NULL,
    created         INTEGER NOT NULL,
    expires         INTEGER NOT NULL,
    timeout_seconds REAL NOT NULL
);

-- heard, report_no: the device's newest report. offered: it may be on the device. late: the time to start is
-- over. waiting: what the device is to be told, 1 the command, 2 that it is to be stopped. due_at: when the
-- centre has to decide. ended: in a final state, be it a guess.
CREATE TABLE command (
    no               INTEGER PRIMARY KEY,
    id               TEXT NOT NULL UNIQUE,
    order_no         INTEGER NOT NULL REFERENCES command_order (no),
    device_no        INTEGER NOT NULL REFERENCES device (no),
    state            TEXT NOT NULL,
    heard            TEXT,
    report_no        INTEGER NOT NULL DEFAULT 0,
    offered          INTEGER NOT NULL DEFAULT 0,
    late             INTEGER NOT NULL DEFAULT 0,
    waiting          INTEGER NOT NULL,
    start_by_at      INTEGER NOT NULL,
    running_at       INTEGER,
    cancel_at        INTEGER,
    due_at           INTEGER,
    changed          INTEGER NOT NULL,
    ended            INTEGER,
    cancel_requested INTEGER,
    cancelled_by     TEXT,
    step             INTEGER NOT NULL DEFAULT 0,
    steps            INTEGER NOT NULL DEFAULT 0,
    message          TEXT NOT NULL DEFAULT '',
    code             TEXT NOT NULL DEFAULT '',
    result           BLOB,
    log_bytes        INTEGER NOT NULL DEFAULT 0,
    artifact_name    TEXT,
    artifact_bytes   INTEGER,
    artifact_sha256  TEXT
);
CREATE INDEX command_device ON command (device_no, no);
CREATE INDEX command_of_order ON command (order_no, no);
CREATE INDEX command_state ON command (state, no);
CREATE INDEX command_waiting ON command (device_no, no) WHERE waiting <> 0;
CREATE INDEX command_open ON command (device_no) WHERE ended IS NULL;
CREATE INDEX command_due ON command (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX command_ended ON command (ended) WHERE ended IS NOT NULL;
CREATE INDEX command_artifact ON command (artifact_bytes) WHERE artifact_bytes IS NOT NULL;

CREATE TABLE command_step (
    command_no  INTEGER NOT NULL REFERENCES command (no),
    no          INTEGER NOT NULL,
    time        INTEGER NOT NULL,
    state       TEXT NOT NULL,
    by          TEXT NOT NULL,
    device_time INTEGER,
    message     TEXT NOT NULL DEFAULT '',
    code        TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (command_no, no)
) WITHOUT ROWID;

CREATE TABLE command_log (
    command_no INTEGER NOT NULL REFERENCES command (no),
    first      INTEGER NOT NULL,
    behind     INTEGER NOT NULL,
    text       BLOB NOT NULL,
    PRIMARY KEY (command_no, first, behind)
) WITHOUT ROWID;

-- The command clock's last saved value, and what the wall clock said then.
CREATE TABLE command_clock (
    one   INTEGER PRIMARY KEY CHECK (one = 1),
    at_ms INTEGER NOT NULL,
    wall  INTEGER NOT NULL
);
