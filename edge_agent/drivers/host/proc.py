"""Parsers of /proc (proc(5), and the kernel's Documentation/admin-guide/iostats.rst). Pure.

Each gives figures by the address that asks for them. A line that is not understood gives none.
"""

import re
from typing import Final

from edge_agent.drivers.host.figures import NOT_YET, Figures, Glance, numbers, percent, rate

STAT: Final = "proc/stat"
LOADAVG: Final = "proc/loadavg"
MEMINFO: Final = "proc/meminfo"
UPTIME: Final = "proc/uptime"
DISKSTATS: Final = "proc/diskstats"
NET_DEV: Final = "proc/net/dev"
_CORE: Final = re.compile(r"cpu([0-9]{0,5})")
_SIZE: Final = re.compile(r"^([A-Za-z_()]{1,40}):\s+([0-9]{1,18}) kB$", re.MULTILINE)
_SECTOR_BYTES: Final = 512
_NET: Final = {
    "rx_bytes": 0, "rx_packets": 1, "rx_errors": 2, "rx_dropped": 3,
    "tx_bytes": 8, "tx_packets": 9, "tx_errors": 10, "tx_dropped": 11,
}  # fmt: skip
_NET_RATES: Final = {"rx_rate": "rx_bytes", "tx_rate": "tx_bytes"}


def cpu(now: Glance, before: Glance | None) -> Figures:
    """`cpu:usage`, `cpu:iowait`, `cpu:N:usage` in percent; `cpu:cores`; counts of processes."""
    text = now.texts.get(STAT, "")
    old = {} if before is None else _ticks(before.texts.get(STAT, ""))
    found: Figures = {}
    ticks = _ticks(text)
    for core, fields in ticks.items():
        place = f"cpu:{core}:" if core else "cpu:"
        earlier = old.get(core)
        if earlier is None or len(earlier) != len(fields):
            found[f"{place}usage"] = found[f"{place}iowait"] = NOT_YET
            continue
        rise = [after - was for after, was in zip(fields, earlier, strict=True)]
        total = sum(rise)
        # Idle and iowait may run backwards a little (proc(5)).
        is_odd = total <= 0 or any(each < 0 for each in (*rise[:3], *rise[5:]))
        found[f"{place}usage"] = NOT_YET if is_odd else percent(total - rise[3] - rise[4], total)
        found[f"{place}iowait"] = NOT_YET if is_odd else percent(rise[4], total)
    if ticks:
        found["cpu:cores"] = sum(1 for core in ticks if core)
    for line in text.splitlines():
        match line.split():
            case ["procs_running", count] if numbers([count]):
                found["processes:running"] = int(count)
            case ["procs_blocked", count] if numbers([count]):
                found["processes:blocked"] = int(count)
            case ["processes", count] if numbers([count]):
                found["processes:started"] = int(count)
    return found


def _ticks(text: str) -> dict[str, list[int]]:
    """By core, the sum of all by ``: user nice system idle iowait irq softirq steal. Guest time is contained
    in user and nice already."""
    found: dict[str, list[int]] = {}
    for line in text.splitlines():
        name, _, rest = line.partition(" ")
        match = _CORE.fullmatch(name)
        fields = numbers(rest.split()[:8]) if match else None
        if match and fields is not None and len(fields) == 8:
            found[match[1]] = fields
    return found


def load(now: Glance, _: Glance | None) -> Figures:
    """`load:1m`, `load:5m`, `load:15m`; `processes:threads`: all there are."""
    found: Figures = {}
    words = now.texts.get(LOADAVG, "").split()
    for name, word in zip(("1m", "5m", "15m"), words, strict=False):
        if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", word):
            found[f"load:{name}"] = float(word)
    threads = words[3].partition("/")[2] if len(words) > 3 else ""
    if threads and numbers([threads]):
        found["processes:threads"] = int(threads)
    return found


def memory(now: Glance, _: Glance | None) -> Figures:
    """`memory:*` and `swap:*` in bytes and percent. What the kernel can free at once counts as available."""
    sizes = {name: 1024 * int(size) for name, size in _SIZE.findall(now.texts.get(MEMINFO, ""))}
    found: Figures = {}
    for kind, names in (("memory", ("MemTotal", "MemAvailable")), ("swap", ("SwapTotal", "SwapFree"))):
        total, free = (sizes.get(name) for name in names)
        if total is None or free is None:
            continue
        found[f"{kind}:total"] = total
        found[f"{kind}:used"] = max(0, total - free)
        found[f"{kind}:{'available' if kind == 'memory' else 'free'}"] = free
        found[f"{kind}:used_percent"] = percent(total - free, total)
    return found


def uptime(now: Glance, _: Glance | None) -> Figures:
    word = (now.texts.get(UPTIME, "").split() or [""])[0]
    if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,9})?", word):
        return {"uptime:seconds": float(word)}
    return {}


def disk_io(now: Glance, before: Glance | None) -> Figures:
    """`io:DISK:*`: bytes since the start, bytes a second, and how busy it is in percent."""
    old = {} if before is None else _diskstats(before.texts.get(DISKSTATS, ""))
    seconds = 0.0 if before is None else now.at - before.at
    found: Figures = {}
    for disk, (read, written, busy_ms) in _diskstats(now.texts.get(DISKSTATS, "")).items():
        was = old.get(disk)
        found[f"io:{disk}:read_bytes"] = read
        found[f"io:{disk}:written_bytes"] = written
        found[f"io:{disk}:read_rate"] = rate(read, None if was is None else was[0], seconds)
        found[f"io:{disk}:write_rate"] = rate(written, None if was is None else was[1], seconds)
        busy = rate(busy_ms, None if was is None else was[2], seconds)
        found[f"io:{disk}:busy"] = percent(busy, 1000) if isinstance(busy, float) else busy
    return found


def _diskstats(text: str) -> dict[str, tuple[int, int, int]]:
    """Bytes read, bytes written, milliseconds with requests under way."""
    found: dict[str, tuple[int, int, int]] = {}
    for line in text.splitlines():
        words = line.split()
        fields = numbers(words[3:14]) if len(words) >= 14 else None
        if fields is not None:
            found[words[2]] = (fields[2] * _SECTOR_BYTES, fields[6] * _SECTOR_BYTES, fields[9])
    return found


def network(now: Glance, before: Glance | None) -> Figures:
    """`net:INTERFACE:*`: counters since the interface came up, and bytes a second."""
    old = {} if before is None else _interfaces(before.texts.get(NET_DEV, ""))
    seconds = 0.0 if before is None else now.at - before.at
    found: Figures = {}
    for name, fields in _interfaces(now.texts.get(NET_DEV, "")).items():
        for field, place in _NET.items():
            found[f"net:{name}:{field}"] = fields[place]
        was = old.get(name)
        for field, counter in _NET_RATES.items():
            place = _NET[counter]
            # Some drivers count in 32 bits.
            wrap = float(1 << 32) if fields[place] < 1 << 32 else 0.0
            found[f"net:{name}:{field}"] = rate(
                fields[place], None if was is None else was[place], seconds, wrap
            )
    return found


def _interfaces(text: str) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for line in text.splitlines():
        name, colon, rest = line.rpartition(":")
        fields = numbers(rest.split()) if colon else None
        if fields is not None and len(fields) >= 12 and name.strip():
            found[name.strip()] = fields
    return found
