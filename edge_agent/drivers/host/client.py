"""Reads the box itself: sources in a thread, tegrastats as a child, rates between two reads of a group."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final
from weakref import WeakKeyDictionary

from edge_agent.contracts.driver import Browsed, Reading
from edge_agent.contracts.errors import ConfigError, NotConnected
from edge_agent.drivers.host.disk import MOUNTS, disks
from edge_agent.drivers.host.figures import Bad, Figures, Glance
from edge_agent.drivers.host.jetson import PROGRAM, Tegrastats
from edge_agent.drivers.host.looking import Job, Watcher
from edge_agent.drivers.host.offer import offered
from edge_agent.drivers.host.plan import HostPlan
from edge_agent.drivers.host.settings import HostConnection
from edge_agent.drivers.host.sources import FILES, KINDS, TEGRASTATS, Source, file_system
from edge_agent.drivers.packing import Mark, Packer
from edge_agent.wire.quality import Quality

_HANGS: Final = Bad(Quality.BAD_COMM, "reading it hangs")
_NOT_ASKED: Final = Bad(Quality.BAD_COMM, "not read, since something before it hangs")


class HostDriver:
    """Implements contracts.driver.Driver and Browsing."""

    def __init__(self, settings: HostConnection, tegrastats: str = PROGRAM) -> None:
        transport = settings.transport
        self._root = Path(transport.root)
        self._timeout = transport.timeout
        self._watcher = Watcher(self._root)
        self._jetson = Tegrastats(tegrastats, transport.tegrastats_interval)
        self._connected = False
        self._passed_over: set[Source] = set()
        # What each group saw last: groups have intervals of their own.
        self._before: WeakKeyDictionary[HostPlan, dict[Source, Glance]] = WeakKeyDictionary()

    async def connect(self) -> None:
        """There is no link. What hung is tried again."""
        await self.close()
        job = await self._watcher.look((), self._timeout)
        if not job.ended or job.gone:
            raise NotConnected(job.gone or f"{self._root}: looking for /proc hangs")
        self._connected = True

    async def close(self) -> None:
        self._connected = False
        self._passed_over.clear()
        self._before.clear()
        self._watcher.close()
        await self._jetson.close()

    async def read(self, plan: HostPlan) -> Reading:
        if not self._connected:
            raise NotConnected("not connected")
        self._passed_over &= self._watcher.hangs_at()
        found: dict[Source, Figures | Bad] = dict.fromkeys(self._passed_over, _HANGS)
        wanted = [each for each in plan.sources if each is not TEGRASTATS and each not in self._passed_over]
        if TEGRASTATS in plan.sources:
            found[TEGRASTATS] = await self._jetson.figures(self._timeout)
        elif not wanted:
            self._connected = False
            raise NotConnected("every file of this group hangs")
        unanswered = False
        if wanted:
            job = await self._watcher.look(wanted, self._timeout)
            self._take(plan, job, found)
            unanswered = not job.ended and not job.glances
        if not self._connected:
            raise NotConnected("closed")
        return _reading(plan, found, unanswered=unanswered)

    def _take(self, plan: HostPlan, job: Job, found: dict[Source, Figures | Bad]) -> None:
        if job.gone:
            self._connected = False
            raise NotConnected(job.gone)
        before = self._before.setdefault(plan, {})
        glances = dict(job.glances)
        for source in job.sources:
            now = glances.get(source)
            if now is None:
                found[source] = _NOT_ASKED
                continue
            found[source] = source.judge(now, before.get(source))
            before[source] = now
        if not job.ended and job.at is not None:
            found[job.at] = _HANGS
            self._passed_over.add(job.at)

    async def browse(self, start: str, depth: int) -> AsyncIterator[Browsed]:
        """Everything that this box offers now; start: a kind, such as `temp:`. There are no levels."""
        kind = start.rstrip(":")
        if kind and kind not in KINDS:
            raise ConfigError(f"browsing begins at one of {', '.join(KINDS)}, not at {start!r}")
        if not self._connected:
            raise NotConnected("not connected")
        figures = await self._all() if depth > 0 else {}
        for each in offered(figures, kind):
            yield each

    async def _all(self) -> Figures:
        found: Figures = {}
        job = await self._watcher.look((*FILES, file_system("/")), self._timeout)
        for source, glance in list(job.glances.items()):
            found |= source.judge(glance, None)
            text = glance.texts.get(MOUNTS)
            if text is not None:
                others = await self._watcher.look([file_system(each) for each in disks(text)], self._timeout)
                for other, seen in list(others.glances.items()):
                    found |= other.judge(seen, None)
        said = await self._jetson.figures(self._timeout)
        return (
            found
            if isinstance(said, Bad)
            else found | {f"jetson:{name}": value for name, value in said.items()}
        )


def _reading(plan: HostPlan, found: dict[Source, Figures | Bad], *, unanswered: bool) -> Reading:
    values: list[int | float | None] = []
    marks: dict[int, Mark] = {}
    errors: dict[str, str] = {}
    known = {
        address: value
        for each in found.values()
        if not isinstance(each, Bad)
        for address, value in each.items()
    }
    for tag, (address, source) in enumerate(zip(plan.addresses, plan.of_tags, strict=True)):
        whole = found.get(source, _NOT_ASKED)
        name = address.partition(":")[2] if source is TEGRASTATS else address
        value = whole if isinstance(whole, Bad) else known.get(name, _absent(address))
        if isinstance(value, Bad):
            marks[tag] = Mark(value.quality)
            if value.quality is not Quality.UNCERTAIN:
                errors[address] = value.text
        values.append(None if isinstance(value, Bad) else value)
    return Packer(plan.schema).reading(values, marks, None, errors, unanswered=unanswered)


def _absent(address: str) -> Bad:
    return Bad(Quality.BAD_CONFIG, f"this box has no {address}; edge-agent browse lists what it has")
