"""What a box offers, for browsing. Pure.

Names are good ones for tags: where the edge-metrics exporter had such a metric, it is that metric's, so that
dashboards go on working.
"""

import re
from collections.abc import Iterator
from typing import Final

from edge_agent.contracts.driver import Browsed
from edge_agent.drivers.host.figures import Bad, Figures
from edge_agent.wire.quality import Quality

_UNITS: Final = (
    ("_percent", "%"), ("_celsius", "°C"), ("_watts", "W"), ("_mhz", "MHz"), ("_mb", "MB"), ("_kb", "kB"),
    ("_bytes", "B"), ("_bytes_per_second", "B/s"), ("_seconds", "s"),
)  # fmt: skip
_ENDS: Final = {
    "usage": "usage_percent", "iowait": "iowait_percent", "busy": "busy_percent", "frequency": "freq_mhz",
    "total": "total_bytes", "used": "used_bytes", "free": "free_bytes", "available": "available_bytes",
    "read_rate": "read_bytes_per_second", "write_rate": "written_bytes_per_second",
    "rx_rate": "rx_bytes_per_second", "tx_rate": "tx_bytes_per_second", "speed": "speed_mbits",
    "seconds": "seconds",
}  # fmt: skip
# Loops and disks in memory: they can be read, and are hardly what anybody looks for.
_NO_DISKS: Final = ("io:loop", "io:ram", "io:zram")
_HEADS: Final = {
    "cpu": "server_cpu", "memory": "server_ram", "temp": "server_temp", "power": "server_power",
    "jetson": "jetson", "swap": "server_swap",
}  # fmt: skip


def metric_name(address: str) -> str:
    """`power:package-0` is server_power_package_0_watts."""
    kind, _, rest = address.partition(":")
    place, _, field = rest.rpartition(":")
    if kind == "temp":
        words = [rest, "celsius"]
    elif kind == "power":
        words = [rest, "watts"]
    elif kind == "cpu" and place:
        words = [f"core{place}", _ENDS.get(field, field)]
    elif kind == "disk" and place == "/":
        words = ["root", _ENDS.get(field, field)]
    else:
        words = [place, _ENDS.get(field, field)]
    return re.sub(r"[^0-9a-z]+", "_", "_".join([_HEADS.get(kind, f"host_{kind}"), *words]).lower()).strip("_")


def offered(figures: Figures, kind: str) -> Iterator[Browsed]:
    """kind: only of this; empty: all. No folders: the name of one would become part of the tag's."""
    names: dict[str, int] = {}
    for address, value in figures.items():
        is_wanted = not kind or address.startswith(f"{kind}:")
        if not is_wanted or _is_absent(value) or address.startswith(_NO_DISKS):
            continue
        name = metric_name(address)
        names[name] = names.get(name, 0) + 1
        if names[name] > 1:
            name = f"{name}_{names[name]}"
        yield Browsed((name,), address, is_tag=True, type="float64", unit=_unit(name))


def _is_absent(value: "int | float | Bad") -> bool:
    """A rate that needs another reading is there."""
    return isinstance(value, Bad) and value.quality is not Quality.UNCERTAIN


def _unit(name: str) -> str:
    return next((unit for end, unit in reversed(_UNITS) if name.endswith(end)), "")
