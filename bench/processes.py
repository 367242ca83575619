"""CPU, memory and written bytes of a process with all its children, from outside."""

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import monotonic

import psutil

from bench.figure import WINDOWS


class ProcessTree:
    """A process and its children, those that have ended included where their parent waited for them."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)

    def _members(self) -> list[psutil.Process]:
        return [self._root, *self._root.children(recursive=True)]

    def cpu_seconds(self) -> float:
        total = 0.0
        for process in self._members():
            try:
                times = process.cpu_times()
                total += times.children_user + times.children_system + _own_seconds(process.pid)
            except (psutil.NoSuchProcess, FileNotFoundError):
                continue  # its parent has its times now
        return total

    def pss_bytes(self) -> int:
        """The proportional share: shared pages are divided among those who share them."""
        total = 0
        for process in self._members():
            try:
                total += int(process.memory_full_info().pss)
            except psutil.NoSuchProcess:
                continue
        return total

    def private_bytes(self) -> int:
        """The unique set size: unlike the proportional one it does not move when another process ends that
        shared a library."""
        return sum(int(process.memory_full_info().uss) for process in self._members())

    def written_bytes(self) -> int:
        """Bytes that the processes caused to be sent to the storage device: proc(5), write_bytes."""
        return sum(written_bytes(Path(f"/proc/{process.pid}/io")) for process in self._members())

    def pin(self, core: int) -> None:
        """Binds every thread of the process to one core."""
        for thread in self._root.threads():
            psutil.Process(thread.id).cpu_affinity([core])


def _own_seconds(pid: int) -> float:
    """In nanoseconds, where the usual counters know hundredths of a second."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # the thread has ended
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def written_bytes(io: Path) -> int:
    for line in io.read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "write_bytes":
            return int(value)
    raise ValueError(f"{io} has no write_bytes")


@dataclass(frozen=True, slots=True)
class Usage:
    """Medians over the windows. cpu_percent: of one core; windows: each one's, in their order."""

    cpu_percent: float
    pss_mib: float
    windows: list[float]


async def watch(pids: Mapping[str, int], seconds: float, windows: int = WINDOWS) -> dict[str, Usage]:
    """Measures several process trees at the same time, in as many windows of equal length."""
    trees = {name: ProcessTree(pid) for name, pid in pids.items()}
    cpu: dict[str, list[float]] = {name: [] for name in trees}
    pss: dict[str, list[float]] = {name: [] for name in trees}
    for _ in range(windows):
        begin = monotonic()
        before = {name: tree.cpu_seconds() for name, tree in trees.items()}
        await asyncio.sleep(seconds / windows)
        for name, tree in trees.items():
            spent = tree.cpu_seconds() - before[name]
            cpu[name].append(round(100 * spent / (monotonic() - begin), 2))
            pss[name].append(tree.pss_bytes() / 2**20)
    return {
        name: Usage(round(median(cpu[name]), 2), round(median(pss[name]), 1), cpu[name]) for name in trees
    }
