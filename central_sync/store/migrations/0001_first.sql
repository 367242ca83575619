-- Times are UTC milliseconds, ranges inclusive. Names are those of docs/specs/batch-v1.md.

CREATE TABLE token (
    id      TEXT PRIMARY KEY,
    digest  BLOB NOT NULL,
    role    TEXT,
    device  TEXT,
    created INTEGER NOT NULL,
    revoked INTEGER,
    CHECK ((role IS NULL) <> (device IS NULL))
) WITHOUT ROWID;

CREATE TABLE device (
    no             INTEGER PRIMARY KEY,
    id             TEXT NOT NULL UNIQUE,
    created        INTEGER NOT NULL,
    state          TEXT NOT NULL DEFAULT 'never_seen',
    state_since    INTEGER NOT NULL,
    last_seen      INTEGER,
    last_upload    INTEGER,
    last_loss      INTEGER,
    clock_offset   INTEGER,
    run            TEXT,
    past_runs      TEXT NOT NULL DEFAULT '[]',
    lost_samples   INTEGER NOT NULL DEFAULT 0,
    heartbeat      BLOB,
    config_version INTEGER,
    config_etag    TEXT,
    batches        INTEGER NOT NULL DEFAULT 0,
    samples        INTEGER NOT NULL DEFAULT 0,
    redelivered    INTEGER NOT NULL DEFAULT 0,
    longest_span   INTEGER NOT NULL DEFAULT 0,
    events         INTEGER NOT NULL DEFAULT 0,
    interval_seconds REAL
);
CREATE INDEX device_state ON device (state, last_seen);

CREATE TABLE epoch (
    no        INTEGER PRIMARY KEY,
    device_no INTEGER NOT NULL REFERENCES device (no),
    id        TEXT NOT NULL,
    ordinal   INTEGER NOT NULL,
    floor     INTEGER NOT NULL DEFAULT 1,
    next      INTEGER NOT NULL DEFAULT 1,
    closed    INTEGER NOT NULL DEFAULT 0,
    run       TEXT NOT NULL DEFAULT '',
    has_lost  INTEGER NOT NULL DEFAULT 0,
    UNIQUE (device_no, id)
);

-- `arrival` numbers the batches of the whole centre in the order of their commits.
CREATE TABLE batch (
    arrival   INTEGER PRIMARY KEY,
    epoch_no  INTEGER NOT NULL REFERENCES epoch (no),
    seq       INTEGER NOT NULL,
    device_no INTEGER NOT NULL,
    term      INTEGER NOT NULL,
    kind      INTEGER NOT NULL,
    codec     INTEGER NOT NULL,
    raw       INTEGER NOT NULL,
    samples   INTEGER NOT NULL,
    t0        INTEGER NOT NULL,
    t1        INTEGER NOT NULL,
    arrived   INTEGER NOT NULL,
    hash      BLOB NOT NULL,
    body      BLOB NOT NULL
);
CREATE UNIQUE INDEX batch_name ON batch (epoch_no, seq);

-- Which batches hold frames of a schema, so that a question about one tag opens no others.
CREATE TABLE batch_schema (
    device_no INTEGER NOT NULL,
    schema_no INTEGER NOT NULL,
    t1        INTEGER NOT NULL,
    arrival   INTEGER NOT NULL REFERENCES batch (arrival),
    t0        INTEGER NOT NULL,
    PRIMARY KEY (device_no, schema_no, t1, arrival)
) WITHOUT ROWID;

-- Coalesced, and kept for ever: what was received stays known when its batch is gone.
CREATE TABLE received (
    epoch_no INTEGER NOT NULL REFERENCES epoch (no),
    lo       INTEGER NOT NULL,
    hi       INTEGER NOT NULL,
    PRIMARY KEY (epoch_no, lo)
) WITHOUT ROWID;

-- Disjoint; neighbours of one reason are coalesced.
CREATE TABLE lost (
    epoch_no INTEGER NOT NULL REFERENCES epoch (no),
    lo       INTEGER NOT NULL,
    hi       INTEGER NOT NULL,
    reason   TEXT NOT NULL,
    PRIMARY KEY (epoch_no, lo)
) WITHOUT ROWID;

-- Loss records as they came. Void: everything it names was received, or is in an earlier loss. `own` are
-- the ranges that no earlier loss names, `counted` the samples of them that did not arrive after all.
CREATE TABLE loss (
    no        INTEGER PRIMARY KEY,
    device_no INTEGER NOT NULL REFERENCES device (no),
    epoch_no  INTEGER REFERENCES epoch (no),
    arrival   INTEGER NOT NULL,
    reason    TEXT NOT NULL,
    sink      TEXT NOT NULL,
    samples   INTEGER NOT NULL,
    own       BLOB NOT NULL,
    counted   INTEGER NOT NULL,
    void      INTEGER NOT NULL,
    t0        INTEGER NOT NULL,
    t1        INTEGER NOT NULL,
    record    BLOB NOT NULL
);
CREATE INDEX loss_epoch ON loss (epoch_no) WHERE void = 0;
CREATE TABLE loss_total (
    device_no INTEGER NOT NULL REFERENCES device (no),
    reason    TEXT NOT NULL,
    samples   INTEGER NOT NULL,
    PRIMARY KEY (device_no, reason)
) WITHOUT ROWID;

CREATE TABLE schema (
    no   INTEGER PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE,
    body BLOB NOT NULL
);
-- The schemas a device has brought (`used` 0) or sent frames of (1).
CREATE TABLE device_schema (
    device_no INTEGER NOT NULL REFERENCES device (no),
    schema_no INTEGER NOT NULL REFERENCES schema (no),
    used      INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (device_no, schema_no)
) WITHOUT ROWID;

CREATE TABLE config (
    device_no INTEGER NOT NULL REFERENCES device (no),
    version   INTEGER NOT NULL,
    etag      TEXT NOT NULL,
    body      BLOB NOT NULL,
    author    TEXT NOT NULL,
    created   INTEGER NOT NULL,
    PRIMARY KEY (device_no, version)
) WITHOUT ROWID;

-- The last day, one for each half minute; the newest is whole on the device's row.
CREATE TABLE heartbeat (
    device_no       INTEGER NOT NULL REFERENCES device (no),
    arrived         INTEGER NOT NULL,
    cpu_percent     REAL,
    memory_bytes    INTEGER,
    disk_free_bytes INTEGER,
    uptime_seconds  REAL,
    pending_batches INTEGER,
    pending_bytes   INTEGER,
    connections_ok  INTEGER,
    connections     INTEGER,
    clock_offset    INTEGER,
    version         TEXT,
    PRIMARY KEY (device_no, arrived)
) WITHOUT ROWID;

CREATE TABLE event (
    no         INTEGER PRIMARY KEY,
    device_no  INTEGER NOT NULL REFERENCES device (no),
    time       INTEGER NOT NULL,
    code       TEXT NOT NULL,
    message    TEXT NOT NULL,
    connection TEXT,
    data       BLOB NOT NULL
);
CREATE INDEX event_device ON event (device_no, no);
CREATE INDEX event_code ON event (device_no, code, no);

-- The checkpoint of the read models, up to the arrival in `meta.checkpoint`.
CREATE TABLE latest (
    device_no INTEGER NOT NULL,
    schema    TEXT NOT NULL,
    body      BLOB NOT NULL,
    PRIMARY KEY (device_no, schema)
);
CREATE TABLE seen (
    device_no  INTEGER NOT NULL,
    run        TEXT NOT NULL,
    connection TEXT NOT NULL,
    grp        TEXT NOT NULL,
    ranges     BLOB NOT NULL,
    PRIMARY KEY (device_no, run, connection, grp)
) WITHOUT ROWID;
CREATE TABLE duplicate (
    device_no INTEGER PRIMARY KEY,
    frames    INTEGER NOT NULL
);
