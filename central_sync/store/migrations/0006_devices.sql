-- The registry: what operators say of a device beside its labels. `purging`: since when its data is being
-- deleted in the background.
ALTER TABLE device ADD COLUMN notes TEXT NOT NULL DEFAULT '';
ALTER TABLE device ADD COLUMN purging INTEGER;
CREATE INDEX device_list ON device (id, decommissioned, state, name);
CREATE INDEX device_list_state ON device (state, id, decommissioned, name);
CREATE INDEX device_purging ON device (purging) WHERE purging IS NOT NULL;

-- Every change of a device's state, beyond what its events keep: its history of being online. `state` may
-- also be `decommissioned`.
CREATE TABLE device_state_change (
    no        INTEGER PRIMARY KEY,
    device_no INTEGER NOT NULL REFERENCES device (no),
    time      INTEGER NOT NULL,
    state     TEXT NOT NULL
);
CREATE INDEX device_state_change_time ON device_state_change (device_no, time, no);
INSERT INTO device_state_change (device_no, time, state)
    SELECT no, created, 'never_seen' FROM device;
INSERT INTO device_state_change (device_no, time, state)
    SELECT device_no, time, substr(code, 8) FROM event
    WHERE code IN ('device_online', 'device_degraded', 'device_offline') ORDER BY no;

-- Grows by one with every change of a label that limits look at, whoever makes it: what was seen is asked anew.
CREATE TABLE label_change (one INTEGER PRIMARY KEY CHECK (one = 1), count INTEGER NOT NULL);
INSERT INTO label_change VALUES (1, 0);
CREATE TRIGGER label_added AFTER INSERT ON device_label WHEN NEW.registry = 1 BEGIN
    UPDATE label_change SET count = count + 1;
END;
CREATE TRIGGER label_changed AFTER UPDATE ON device_label WHEN NEW.registry = 1 OR OLD.registry = 1 BEGIN
    UPDATE label_change SET count = count + 1;
END;
CREATE TRIGGER label_removed AFTER DELETE ON device_label WHEN OLD.registry = 1 BEGIN
    UPDATE label_change SET count = count + 1;
END;
