"""Parsers of /proc against texts as kernels write them."""

import pytest

from edge_agent.drivers.host import disk, proc
from edge_agent.drivers.host.figures import NOT_YET, Bad, Figures, Glance, rate
from edge_agent.wire.quality import Quality

STAT = """cpu  100 0 50 800 40 5 5 0 10 0
cpu0 60 0 30 400 10 0 0 0 0 0
cpu1 40 0 20 400 30 5 5 0 10 0
intr 12345 0 0 1
ctxt 99
btime 1763733600
processes 4321
procs_running 3
procs_blocked 1
"""
LATER = """cpu  160 0 80 880 60 5 15 0 20 0
cpu0 110 0 50 420 20 0 0 0 0 0
cpu1 50 0 30 460 40 5 15 0 20 0
"""


def test_the_processor_between_two_reads() -> None:
    found = proc.cpu(Glance(2.0, {proc.STAT: LATER}), Glance(1.0, {proc.STAT: STAT}))
    # 60 + 30 + 10 of 200 ticks were busy; guest time is contained in user.
    assert found["cpu:usage"] == 50
    assert found["cpu:iowait"] == 10
    assert found["cpu:0:usage"] == 70
    assert found["cpu:1:usage"] == 30
    assert found["cpu:cores"] == 2


def test_the_first_read_has_no_rates_and_all_counts() -> None:
    found = proc.cpu(Glance(1.0, {proc.STAT: STAT}), None)
    assert found["cpu:usage"] == found["cpu:1:usage"] == NOT_YET
    assert (found["processes:running"], found["processes:blocked"], found["processes:started"]) == (
        3,
        1,
        4321,
    )


def test_a_core_that_came_since_and_counters_that_fell_have_no_rate() -> None:
    one = "\n".join(STAT.splitlines()[:2])
    found = proc.cpu(Glance(2.0, {proc.STAT: LATER}), Glance(1.0, {proc.STAT: one}))
    assert found["cpu:1:usage"] == NOT_YET
    backwards = proc.cpu(Glance(2.0, {proc.STAT: STAT}), Glance(1.0, {proc.STAT: LATER}))
    assert backwards["cpu:usage"] == NOT_YET


def test_load_memory_and_uptime() -> None:
    assert proc.load(Glance(0, {proc.LOADAVG: "0.25 1.50 7.75 3/1234 99\n"}), None) == {
        "load:1m": 0.25, "load:5m": 1.5, "load:15m": 7.75, "processes:threads": 1234,
    }  # fmt: skip
    text = "MemTotal:  4000 kB\nMemFree: 1 kB\nMemAvailable:  1000 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n"
    assert proc.memory(Glance(0, {proc.MEMINFO: text}), None) == {
        "memory:total": 4096000, "memory:used": 3072000, "memory:available": 1024000,
        "memory:used_percent": 75,
        "swap:total": 0, "swap:used": 0, "swap:free": 0,
        "swap:used_percent": Bad(Quality.BAD_DEVICE, "there is none"),
    }  # fmt: skip
    assert proc.uptime(Glance(0, {proc.UPTIME: "350735.47 234388.90\n"}), None) == {
        "uptime:seconds": 350735.47
    }


DISKS = "   8       0 sda {} 5 {} 7 {} 9 {} 11 0 {} 14 0 0 0 0\n   7 0 loop0 1 2 3\n"


def test_disks_in_bytes_and_how_busy_they_are() -> None:
    before = Glance(10.0, {proc.DISKSTATS: DISKS.format(1, 100, 1, 200, 1000)})
    now = Glance(12.0, {proc.DISKSTATS: DISKS.format(2, 108, 2, 240, 1500)})
    assert proc.disk_io(now, before) == {
        "io:sda:read_bytes": 108 * 512, "io:sda:written_bytes": 240 * 512, "io:sda:read_rate": 2048,
        "io:sda:write_rate": 10240, "io:sda:busy": 25,
    }  # fmt: skip
    assert proc.disk_io(now, None)["io:sda:read_rate"] == NOT_YET


NET = """Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls
  eth0: {} 10    1    2    0     0          0         0 {} 20    3    4    0     0       0          0
br:lan:7 1 0 0 0 0 0 0 9 1 0 0 0 0 0 0
"""


def net(received: int, sent: int, before: tuple[int, int] | None) -> Figures:
    earlier = None if before is None else Glance(1.0, {proc.NET_DEV: NET.format(*before)})
    return proc.network(Glance(3.0, {proc.NET_DEV: NET.format(received, sent)}), earlier)


def test_interfaces_and_their_rates() -> None:
    found = net(3000, 5000, (1000, 1000))
    assert (found["net:eth0:rx_bytes"], found["net:eth0:tx_errors"], found["net:eth0:tx_dropped"]) == (
        3000,
        3,
        4,
    )
    assert (found["net:eth0:rx_rate"], found["net:eth0:tx_rate"]) == (1000, 2000)
    assert found["net:br:lan:rx_bytes"] == 7


def test_a_counter_of_32_bits_goes_round_and_one_that_was_reset_says_so() -> None:
    found = net(1000, 500, ((1 << 32) - 1000, 100_000))
    assert found["net:eth0:rx_rate"] == 1000
    assert isinstance(found["net:eth0:tx_rate"], Bad)
    assert found["net:eth0:tx_rate"].quality is Quality.UNCERTAIN


@pytest.mark.parametrize(("now", "before", "seconds"), [(5, None, 1.0), (5, 4, 0.0), (5, 4, -1.0)])
def test_no_rate_without_a_span(now: float, before: float | None, seconds: float) -> None:
    assert rate(now, before, seconds) == NOT_YET


MOUNTS = """/dev/sda1 / ext4 rw 0 0
tmpfs /run tmpfs rw 0 0
/dev/sdb1 /mnt/usb\\040stick vfat rw 0 0
proc /proc proc rw 0 0
"""


def test_a_file_system_as_df_has_it() -> None:
    glance = Glance(0, {disk.MOUNTS: MOUNTS, disk.STATVFS: "4096 1000 400 300 100 25"})
    assert disk.usage("/mnt/usb stick", glance) == {
        "disk:/mnt/usb stick:total": 4096000, "disk:/mnt/usb stick:free": 1228800,
        "disk:/mnt/usb stick:used": 2457600, "disk:/mnt/usb stick:used_percent": 66.667,
        "disk:/mnt/usb stick:inodes_used_percent": 75,
    }  # fmt: skip
    assert disk.disks(MOUNTS) == ["/", "/mnt/usb stick"]


def test_a_stick_that_was_pulled_out_does_not_show_the_disk_below_it() -> None:
    found = disk.usage(
        "/mnt/gone", Glance(0, {disk.MOUNTS: MOUNTS, disk.STATVFS: "4096 1000 400 300 100 25"})
    )
    assert set(found.values()) == {Bad(Quality.BAD_CONFIG, "nothing is mounted at /mnt/gone")}
