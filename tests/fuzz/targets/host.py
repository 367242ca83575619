"""Texts of /proc, /sys and tegrastats: every parser, with what it saw before."""

from collections.abc import Sequence
from typing import Final

from edge_agent.drivers.host import disk, proc, sensors
from edge_agent.drivers.host.figures import Bad, Figures, Glance
from edge_agent.drivers.host.offer import metric_name, offered
from edge_agent.drivers.host.sources import FILES, source_of
from edge_agent.drivers.host.tegrastats import parse

_SYS: Final = (
    "sys/class/hwmon/hwmon0/name", "sys/class/hwmon/hwmon0/temp1_input", "sys/class/hwmon/hwmon0/temp1_label",
    "sys/class/thermal/thermal_zone0/type", "sys/class/thermal/thermal_zone0/temp",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "sys/class/net/eth0/operstate",
    "sys/class/net/eth0/carrier", "sys/class/net/eth0/speed", "sys/class/powercap/intel-rapl:0/name",
    "sys/class/powercap/intel-rapl:0/energy_uj", "sys/class/powercap/intel-rapl:0/max_energy_range_uj",
)  # fmt: skip
_PROC: Final = (
    proc.STAT, proc.LOADAVG, proc.MEMINFO, proc.UPTIME, proc.DISKSTATS, proc.NET_DEV, disk.MOUNTS,
    disk.STATVFS,
)  # fmt: skip

SEEDS: Final[Sequence[bytes]] = (
    b"\x00cpu  100 0 50 800 40 5 5 0 10 0\ncpu0 60 0 30 400 10 0 0 0 0 0\nprocs_running 3\n",
    b"\x010.25 1.50 7.75 3/1234 99\n",
    b"\x02MemTotal: 4000 kB\nMemAvailable: 1000 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n",
    b"\x04 8 0 sda 1 5 2 7 3 9 4 11 0 5 14\n",
    b"\x05 eth0: 1 10 1 2 0 0 0 0 2 20 3 4 0 0 0 0\n",
    b"\x06/dev/sda1 / ext4 rw 0 0\n/dev/sdb1 /mnt/a\\040b vfat rw 0 0\n",
    b"\x07" b"4096 1000 400 300 100 25",
    b"\x08coretemp\x0045000\x00Package id 0\x00acpitz\x0051000\x001000000\x00up\x001\x001000"
    b"\x00package-0\x005\x009",
    b"\x09RAM 1093/3956MB (lfb 214x4MB) IRAM 0/252kB(lfb 252kB) CPU [22%@518,off] EMC_FREQ 0% "
    b"GR3D_FREQ 0%@[611,0] VIC_FREQ 0%@115 APE 25 PLL@31C VDD_IN 5079mW/5079mW POM_5V_IN 2003/2003",
    b"\x0adisk:/mnt/a:free", b"\x0anet:eth0:rx_rate",
)  # fmt: skip


def target(data: bytes) -> None:
    """The first byte says which file the rest is."""
    if not data:
        return
    kind, text = data[0] % 11, data[1:].decode("utf-8", "replace")
    if kind < len(_PROC):
        _judge({_PROC[kind]: text[: len(text) // 2] + "\n"}, {_PROC[kind]: text})
    elif kind == 8:
        texts = dict(zip(_SYS, text.split("\0"), strict=False))
        _judge({path: each[::-1] for path, each in texts.items()}, texts)
    elif kind == 9:
        _check(parse(text))
    else:
        _address(text)


def _judge(before: dict[str, str], now: dict[str, str]) -> None:
    found: Figures = {}
    earlier, later = Glance(1.0, before), Glance(2.5, now)
    for source in FILES:
        found |= source.judge(later, None)
        found |= source.judge(later, earlier)
    both = {disk.MOUNTS: "/dev/sda1 / ext4\n", disk.STATVFS: "4096 10 4 3 10 2", **now}
    found |= disk.usage("/", Glance(1.0, both))
    disk.disks(both[disk.MOUNTS])
    _check(found)
    for each in offered(found, ""):
        assert each.path
        assert each.path[-1]
    assert sensors.power(earlier, None) is not None


def _check(found: Figures) -> None:
    for address, value in found.items():
        assert address
        assert metric_name(address)
        if isinstance(value, float):
            assert abs(value) < 1e30
        else:
            assert isinstance(value, int | Bad)


def _address(text: str) -> None:
    try:
        source = source_of(text)
    except ValueError:
        return
    assert source.name
