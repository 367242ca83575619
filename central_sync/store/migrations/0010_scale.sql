-- The hash of what a device's last written heartbeat said beside its figures (services/devices/standing.py).
ALTER TABLE device ADD COLUMN standing BLOB;

-- The last day's figures: a row for each device and hour, store/series.py has the format. no: device number
-- << 24 | hour since 1970. packed: compressed. Points of before are left out: they were of one day.
DROP TABLE heartbeat;
CREATE TABLE heartbeat_hour (
    no      INTEGER PRIMARY KEY,
    packed  INTEGER NOT NULL,
    version TEXT NOT NULL,
    points  BLOB NOT NULL
);
-- The same as rows. `heartbeat_points` is a function of the centre's own connections.
CREATE VIEW heartbeat AS
    SELECT hours.no >> 24 AS device_no,
        json_extract(value, '$[0]') AS arrived,
        json_extract(value, '$[1]') AS cpu_percent,
        json_extract(value, '$[2]') AS memory_bytes,
        json_extract(value, '$[3]') AS disk_free_bytes,
        json_extract(value, '$[4]') AS uptime_seconds,
        json_extract(value, '$[5]') AS pending_batches,
        json_extract(value, '$[6]') AS pending_bytes,
        json_extract(value, '$[8]') AS connections_ok,
        json_extract(value, '$[9]') AS connections,
        json_extract(value, '$[7]') AS clock_offset,
        version
    FROM heartbeat_hour AS hours,
        json_each(heartbeat_points(hours.no & 16777215, hours.points, hours.packed));
