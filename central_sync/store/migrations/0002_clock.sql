-- Readings of both clocks by agents whose wall clock was kept in step: from them come corrected times.
CREATE TABLE clock (
    no        INTEGER PRIMARY KEY,
    device_no INTEGER NOT NULL REFERENCES device (no),
    boot      TEXT NOT NULL,
    mono_ns   INTEGER NOT NULL,
    wall_ms   INTEGER NOT NULL
);
CREATE INDEX clock_boot ON clock (device_no, boot, mono_ns);
