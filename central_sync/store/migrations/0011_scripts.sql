-- Scripts: the hooks that devices get from the centre (docs/specs/scripts-v1.md).

-- version: the one that devices get. revision: grows with every change, for If-Match. scope: labels of the
-- registry without which no device gets it, those of who made it. labels and selector: who gets it beside the
-- devices of `script_target`.
CREATE TABLE script (
    no          INTEGER PRIMARY KEY,
    id          TEXT NOT NULL UNIQUE,
    name        TEXT NOT NULL,
    hook_type   TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    enabled     INTEGER NOT NULL,
    position    INTEGER NOT NULL,
    version     INTEGER NOT NULL,
    revision    INTEGER NOT NULL,
    scope       TEXT NOT NULL DEFAULT '{}',
    labels      TEXT NOT NULL DEFAULT '{}',
    selector    TEXT,
    author      TEXT NOT NULL,
    created     INTEGER NOT NULL,
    updated     INTEGER NOT NULL,
    deleted     INTEGER
);
CREATE UNIQUE INDEX script_name ON script (name) WHERE deleted IS NULL;

-- body: what the digest and signatures are made over, byte for byte.
CREATE TABLE script_version (
    no         INTEGER PRIMARY KEY,
    script_no  INTEGER NOT NULL REFERENCES script (no),
    version    INTEGER NOT NULL,
    sha256     TEXT NOT NULL,
    body       BLOB NOT NULL,
    signatures BLOB NOT NULL,
    author     TEXT NOT NULL,
    created    INTEGER NOT NULL,
    note       TEXT NOT NULL DEFAULT '',
    source     TEXT NOT NULL DEFAULT 'put',
    UNIQUE (script_no, version)
);
CREATE INDEX script_version_sha256 ON script_version (sha256);

-- Devices that are named, and those that have it, as it was last worked out.
CREATE TABLE script_target (
    script_no INTEGER NOT NULL REFERENCES script (no),
    device_no INTEGER NOT NULL REFERENCES device (no),
    PRIMARY KEY (script_no, device_no)
) WITHOUT ROWID;
CREATE TABLE script_device (
    device_no INTEGER NOT NULL REFERENCES device (no),
    script_no INTEGER NOT NULL REFERENCES script (no),
    PRIMARY KEY (device_no, script_no)
) WITHOUT ROWID;
CREATE INDEX script_device_script ON script_device (script_no, device_no);

-- Devices of which it has to be worked out anew.
CREATE TABLE script_stale (device_no INTEGER PRIMARY KEY);
ALTER TABLE device ADD COLUMN scripts_etag TEXT;

CREATE TRIGGER script_device_new AFTER INSERT ON device WHEN EXISTS (SELECT 1 FROM script) BEGIN
    INSERT INTO script_stale SELECT NEW.no;
END;
CREATE TRIGGER script_device_service AFTER UPDATE OF decommissioned ON device
    WHEN EXISTS (SELECT 1 FROM script)
    AND NOT EXISTS (SELECT 1 FROM script_stale WHERE device_no = NEW.no) BEGIN
    INSERT INTO script_stale SELECT NEW.no;
END;
CREATE TRIGGER script_label_added AFTER INSERT ON device_label
    WHEN EXISTS (SELECT 1 FROM script)
    AND NOT EXISTS (SELECT 1 FROM script_stale WHERE device_no = NEW.device_no) BEGIN
    INSERT INTO script_stale SELECT NEW.device_no;
END;
CREATE TRIGGER script_label_changed AFTER UPDATE ON device_label
    WHEN EXISTS (SELECT 1 FROM script)
    AND NOT EXISTS (SELECT 1 FROM script_stale WHERE device_no = NEW.device_no) BEGIN
    INSERT INTO script_stale SELECT NEW.device_no;
END;
CREATE TRIGGER script_label_removed AFTER DELETE ON device_label
    WHEN EXISTS (SELECT 1 FROM script)
    AND NOT EXISTS (SELECT 1 FROM script_stale WHERE device_no = OLD.device_no) BEGIN
    INSERT INTO script_stale SELECT OLD.device_no;
END;
