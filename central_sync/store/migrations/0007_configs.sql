-- Versions of configs say why and how they came to be and what became of them; jobs put configs on many
-- devices; templates make groups of tags; the names of an older system stand for tags of this one.

ALTER TABLE config ADD COLUMN note TEXT NOT NULL DEFAULT '';
ALTER TABLE config ADD COLUMN source TEXT NOT NULL DEFAULT 'put';
-- What the device last said of this version, as JSON; noted when the next version is made.
ALTER TABLE config ADD COLUMN outcome BLOB;

CREATE TABLE config_job (
    no       INTEGER PRIMARY KEY,
    id       TEXT NOT NULL UNIQUE,
    created  INTEGER NOT NULL,
    finished INTEGER,
    author   TEXT NOT NULL,
    actor    BLOB NOT NULL,
    note     TEXT NOT NULL,
    dry_run  INTEGER NOT NULL,
    kind     TEXT NOT NULL,
    -- What to do with each device's config: JSON.
    edit     BLOB NOT NULL
);
CREATE INDEX config_job_running ON config_job (no) WHERE finished IS NULL;
-- `work`: what is to be done with this device alone, as JSON. The result is written with the new version.
CREATE TABLE config_job_device (
    job_no  INTEGER NOT NULL REFERENCES config_job (no),
    device  TEXT NOT NULL,
    work    BLOB,
    state   TEXT NOT NULL DEFAULT 'waiting',
    version INTEGER,
    time    INTEGER,
    code    TEXT NOT NULL DEFAULT '',
    detail  TEXT NOT NULL DEFAULT '',
    problems BLOB,
    PRIMARY KEY (job_no, device)
) WITHOUT ROWID;
CREATE INDEX config_job_device_state ON config_job_device (job_no, state, device);

CREATE TABLE tag_template (
    id      TEXT PRIMARY KEY,
    name    TEXT NOT NULL UNIQUE,
    company TEXT NOT NULL,
    equipment_type TEXT NOT NULL,
    protocol TEXT NOT NULL,
    version INTEGER NOT NULL,
    author  TEXT NOT NULL,
    created INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    body    BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE v1_mapping (
    id         TEXT PRIMARY KEY,
    v1_name    TEXT NOT NULL UNIQUE,
    device     TEXT NOT NULL,
    connection TEXT NOT NULL,
    tag        TEXT NOT NULL,
    note       TEXT NOT NULL,
    author     TEXT NOT NULL,
    created    INTEGER NOT NULL,
    updated    INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX v1_mapping_device ON v1_mapping (device, v1_name);
