"""Where figures come from: which files tell of which addresses. Pure.

One source is read at once and fails as one. A file system is a source of its own, since one on a network
may hang; so is tegrastats, which is a program.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from edge_agent.drivers.host import disk, proc, sensors
from edge_agent.drivers.host.figures import Figures, Glance, Judge

JETSON: Final = "jetson"


@dataclass(frozen=True, slots=True)
class Source:
    """files: patterns below the root. mount: of a file system; its judge needs to know which."""

    name: str
    files: tuple[str, ...]
    mount: str | None = None

    def judge(self, now: Glance, before: Glance | None) -> Figures:
        if self.mount is not None:
            return disk.usage(self.mount, now)
        return _JUDGES[self.name](now, before)


_TABLE: Final[dict[str, tuple[tuple[str, ...], Judge]]] = {
    "stat": ((proc.STAT,), proc.cpu),
    "loadavg": ((proc.LOADAVG,), proc.load),
    "meminfo": ((proc.MEMINFO,), proc.memory),
    "uptime": ((proc.UPTIME,), proc.uptime),
    "diskstats": ((proc.DISKSTATS,), proc.disk_io),
    "net/dev": ((proc.NET_DEV,), proc.network),
    "hwmon": (sensors.HWMON, sensors.hwmon),
    "thermal": (sensors.THERMAL, sensors.thermal),
    "cpufreq": (sensors.FREQUENCIES, sensors.frequencies),
    "link": (sensors.LINKS, sensors.links),
    "powercap": (sensors.POWERCAP, sensors.power),
}
_JUDGES: Final = {name: judge for name, (_, judge) in _TABLE.items()}
TEGRASTATS: Final = Source(JETSON, ())
FILES: Final = tuple(Source(name, files) for name, (files, _) in _TABLE.items())
_BY_NAME: Final = {source.name: source for source in FILES}
KINDS: Final = (
    "cpu", "load", "processes", "memory", "swap", "uptime", "disk", "io", "net", "temp", "power", JETSON,
)  # fmt: skip
_DISK_FIELDS: Final = ("total", "free", "used", "used_percent", "inodes_used_percent")
_FIELDS: Final = {
    "load": ("1m", "5m", "15m"),
    "processes": ("running", "blocked", "started", "threads"),
    "memory": ("total", "used", "available", "used_percent"),
    "swap": ("total", "used", "free", "used_percent"),
    "uptime": ("seconds",),
    "io": ("read_bytes", "written_bytes", "read_rate", "write_rate", "busy"),
    "net": (
        "rx_bytes", "rx_packets", "rx_errors", "rx_dropped", "tx_bytes", "tx_packets", "tx_errors",
        "tx_dropped", "rx_rate", "tx_rate", "link", "speed",
    ),
    "cpu": ("usage", "iowait", "frequency", "cores"),
    "disk": _DISK_FIELDS,
}  # fmt: skip
_PLACED: Final = ("io", "net", "disk")


def file_system(mount: str) -> Source:
    return Source(f"disk {mount}", (disk.MOUNTS,), mount)


def source_of(address: str) -> Source:
    """Raises ValueError with what is wrong and how it is written right."""
    kind, colon, rest = address.partition(":")
    if not colon or kind not in KINDS or not rest:
        raise ValueError(
            f"{address!r} is no address: write cpu:usage, memory:used, disk:/:free; kinds: {', '.join(KINDS)}"
        )
    place, _, field = rest.rpartition(":")
    known = _FIELDS.get(kind)
    if known is not None and field not in known:
        raise ValueError(f"{address!r}: {kind} has no {field!r}; it has {', '.join(known)}")
    if kind in _PLACED and not place:
        raise ValueError(f"{address!r}: say of which, such as {_EXAMPLES[kind]}")
    if kind == "disk":
        if not place.startswith("/"):
            raise ValueError(f"{address!r}: a file system is named by its mount point, such as disk:/:free")
        return file_system(place)
    if place and known is not None and kind not in (*_PLACED, "cpu"):
        raise ValueError(f"{address!r}: write {kind}:{field}")
    return TEGRASTATS if kind == JETSON else _BY_NAME[_source_name(kind, rest, field)]


_EXAMPLES: Final = {"io": "io:sda:read_rate", "net": "net:eth0:rx_bytes", "disk": "disk:/:free"}
_PLAIN: Final = {
    "load": "loadavg", "memory": "meminfo", "swap": "meminfo", "uptime": "uptime", "io": "diskstats",
    "power": "powercap",
}  # fmt: skip


def _source_name(kind: str, rest: str, field: str) -> str:
    match kind:
        case "cpu":
            return "cpufreq" if field == "frequency" else "stat"
        case "processes":
            return "loadavg" if field == "threads" else "stat"
        case "net":
            return "link" if field in ("link", "speed") else "net/dev"
        case "temp":
            return "thermal" if rest.startswith("thermal/") else "hwmon"
    return _PLAIN[kind]


def distinct(sources: Iterable[Source]) -> tuple[Source, ...]:
    return tuple(dict.fromkeys(sources))
