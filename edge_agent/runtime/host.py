"""What the agent uses of its machine, and which machine and boot it is: read from /proc.

Parsers are pure; what cannot be read (another kernel, `ProcSubset=pid`) is None in the report.
"""

import contextlib
import hashlib
import hmac
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from edge_agent.runtime.atomic import write_atomic
from edge_agent.wire.messages import HostReport

PROC: Final = Path("/proc")
MACHINE_ID: Final = Path("/etc/machine-id")
# machine-id(5) asks not to publish the id itself but one derived from it for each application.
_APPLICATION: Final = b"holdfast edge agent"
_ID: Final = re.compile(r"[0-9a-f]{32}")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class CpuTimes:
    """Clock ticks of all cores since boot. Waiting for a disk counts as idle."""

    busy: int
    total: int


@dataclass(frozen=True, slots=True)
class Memory:
    total_bytes: int
    available_bytes: int


def parse_cpu(text: str) -> CpuTimes:
    """/proc/stat, first line: user nice system idle iowait irq softirq steal guest guest_nice (proc(5)).

    Guest time is contained in user and nice already. Raises ValueError.
    """
    name, *fields = text.split("\n", 1)[0].split()
    if name != "cpu" or len(fields) < 4:
        raise ValueError("/proc/stat does not begin with the sum of all cores")
    ticks = [int(field) for field in fields[:8]]
    idle = sum(ticks[3:5])
    return CpuTimes(sum(ticks) - idle, sum(ticks))


def parse_memory(text: str) -> Memory:
    """/proc/meminfo. Raises ValueError where it names no total or no available memory."""
    sizes = _sizes(text)
    try:
        return Memory(sizes["MemTotal"], sizes["MemAvailable"])
    except KeyError as error:
        raise ValueError(f"/proc/meminfo has no {error}") from error


def parse_process_memory(text: str) -> int:
    """Bytes of a process from smaps_rollup (its proportional share, PSS) or from status (RSS)."""
    sizes = _sizes(text)
    for name in ("Pss", "VmRSS"):
        if name in sizes:
            return sizes[name]
    raise ValueError("neither Pss nor VmRSS is there")


def _sizes(text: str) -> dict[str, int]:
    """The lines of the form `Name:  123 kB`, in bytes."""
    found = re.finditer(r"^(\w+):\s+(\d+) kB$", text, re.MULTILINE)
    return {match[1]: int(match[2]) * 1024 for match in found}


class HostMeter:
    """Reads the machine for heartbeats, the status page and /metrics, which share one meter.

    disk: a path on the file system whose space is reported. CPU figures are means since the reading
    before; a reading younger than `least_seconds` is given again, so that several readers do not leave
    each other windows too short to mean anything. `process_cpu_percent` is of one core.
    """

    def __init__(
        self,
        disk: Path,
        *,
        proc: Path = PROC,
        monotonic: Callable[[], float] = time.monotonic,
        process_seconds: Callable[[], float] = time.process_time,
        least_seconds: float = 5.0,
    ) -> None:
        self._disk = disk
        self._proc = proc
        self._monotonic = monotonic
        self._process_seconds = process_seconds
        self._least_seconds = least_seconds
        self._report: HostReport | None = None
        self._read_at = 0.0
        self._cpu: CpuTimes | None = None
        self._process = 0.0

    def read(self) -> HostReport:
        """The machine now. CPU figures are None in the first reading. Never raises; takes about 1 ms."""
        now = self._monotonic()
        if self._report is None or now - self._read_at >= self._least_seconds:
            self._report = self._measure(now)
            self._read_at = now
        return self._report

    def _measure(self, now: float) -> HostReport:
        cpu = self._parsed("stat", parse_cpu)
        process = self._process_seconds()
        cpu_percent = process_percent = None
        if self._report is not None:
            process_percent = round(100 * (process - self._process) / (now - self._read_at), 2)
        if cpu and self._cpu and cpu.total > self._cpu.total:
            share = (cpu.busy - self._cpu.busy) / (cpu.total - self._cpu.total)
            cpu_percent = round(100 * min(1.0, max(0.0, share)), 2)
        self._cpu, self._process = cpu, process
        memory = self._parsed("meminfo", parse_memory)
        process_memory = self._parsed("self/smaps_rollup", parse_process_memory)
        if process_memory is None:
            process_memory = self._parsed("self/status", parse_process_memory)
        disk = _or_none(lambda: shutil.disk_usage(self._disk))
        return HostReport(
            cpu_percent=cpu_percent,
            memory_bytes=memory and memory.total_bytes - memory.available_bytes,
            memory_total_bytes=memory and memory.total_bytes,
            process_cpu_percent=process_percent,
            process_memory_bytes=process_memory,
            disk_free_bytes=disk and disk.free,
            disk_total_bytes=disk and disk.total,
            load_1m=_or_none(lambda: round(os.getloadavg()[0], 2)),
        )

    def _parsed(self, name: str, parse: Callable[[str], _T]) -> _T | None:
        return _or_none(lambda: parse((self._proc / name).read_text()))


def _or_none(read: Callable[[], _T]) -> _T | None:
    with contextlib.suppress(OSError, ValueError):
        return read()
    return None


def machine_id(fallback: Path, source: Path = MACHINE_ID) -> str:
    """32 hex digits that stay the same on this machine, and differ on every other one.

    Derived from /etc/machine-id, so that a cloned card in another box (with its own machine-id) is told
    apart. Where that is missing or not yet initialised, a random id that is kept in `fallback`.
    """
    own = _read_id(source)
    if own is None:
        return _kept_id(fallback)
    return hmac.new(bytes.fromhex(own), _APPLICATION, hashlib.sha256).hexdigest()[:32]


def boot_id(fallback: Path | None = None, proc: Path = PROC) -> str:
    """32 hex digits that stay the same until the machine starts anew.

    The kernel's, without dashes. Where a sandbox hides it, a random id that is kept in `fallback`, which
    must lie in memory (the runtime directory) to vanish at the next boot; without one, it lasts as long
    as the process.
    """
    own = _read_id(proc / "sys/kernel/random/boot_id")
    if own is not None:
        return own
    return uuid.uuid4().hex if fallback is None else _kept_id(fallback)


def _read_id(path: Path) -> str | None:
    text = _or_none(lambda: path.read_text().strip().replace("-", "").lower())
    return text if text and _ID.fullmatch(text) and int(text, 16) else None


def _kept_id(path: Path) -> str:
    kept = _read_id(path)
    if kept is None:
        kept = uuid.uuid4().hex
        write_atomic(path, f"{kept}\n".encode())
    return kept
