-- Retention of samples, and of the audit trail; the trail by time.

-- Without its reference to `batch`: removing a batch would look through this whole table for others that
-- name it.
CREATE TABLE batch_schema_9 (
    device_no INTEGER NOT NULL,
    schema_no INTEGER NOT NULL,
    t1        INTEGER NOT NULL,
    arrival   INTEGER NOT NULL,
    t0        INTEGER NOT NULL,
    PRIMARY KEY (device_no, schema_no, t1, arrival)
) WITHOUT ROWID;
INSERT INTO batch_schema_9 (device_no, schema_no, t1, arrival, t0)
    SELECT device_no, schema_no, t1, arrival, t0 FROM batch_schema;
DROP TABLE batch_schema;
ALTER TABLE batch_schema_9 RENAME TO batch_schema;

CREATE INDEX audit_time ON audit (time, no);

-- What stands for the entries that retention removed: a signed statement of the last of them.
CREATE TABLE audit_anchor (
    no        INTEGER PRIMARY KEY,
    time      INTEGER NOT NULL,
    statement TEXT NOT NULL
);
