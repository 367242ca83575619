"""Does one write: permitted, journalled, sent once, read back, journalled, told.

From the moment a write is journalled as begun its end is told, whoever waits for it and whatever happens: as
confirmed, unconfirmed, differs, refused or unknown. It is never sent a second time.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

import structlog

from edge_agent.contracts.clock import Clock
from edge_agent.contracts.errors import NotConnected, Unsupported, WriteRefused, WriteUnknown
from edge_agent.contracts.writing import WriteLink, WriteOrder, WriteReport
from edge_agent.wire.frame import JsonValue
from edge_agent.wire.messages import Event
from edge_agent.writing import values
from edge_agent.writing.errors import NotAllowed, NotJournalled
from edge_agent.writing.journal import Past, WriteJournal
from edge_agent.writing.permit import Permit, Permits

logger = structlog.stdlib.get_logger(__name__)

MOST_WAITING: Final = 32
_TEXT: Final = 1_000
_NOT_SENT: Final = ("not_connected", "not_journalled", "not_writable")
NOBODY: Final = "no tag of this device may be written: its own file has none in writes.allow"


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds now. permits: by tag. interval: between two writes of whatever tag, seconds."""

    permits: Permits
    interval: float


class Writer:
    """rules: asked at each write, so that a config that changes is in force at once. link: of a permit's
    connection, as it is polled now; None: it is not. tell: puts an event into the device's history."""

    def __init__(
        self,
        rules: Callable[[], Rules],
        link: Callable[[Permit], WriteLink | None],
        journal: WriteJournal,
        clock: Clock,
        tell: Callable[[Event], None],
        hides: Callable[[Permit], bool] = lambda _: False,
    ) -> None:
        """hides: whether what the device holds is not to be told, to whoever asked or to the history."""
        self._rules = rules
        self._hides = hides
        self._link = link
        self._journal = journal
        self._clock = clock
        self._tell = tell
        self._past: Past | None = None
        self._opening = asyncio.Lock()
        self._last: dict[str, float] = {}  # when each tag was written last, monotonic seconds
        self._last_any = float("-inf")
        self._busy: set[str] = set()  # tags of which a write is under way
        self._appending = asyncio.Lock()
        self._closed = False
        self._under_way: set[asyncio.Future[WriteReport]] = set()

    async def look_back(self) -> None:
        """Tells of writes that a killed run left. Called at a start, and before the first write at latest.

        Raises NotJournalled.
        """
        async with self._opening:
            if self._past is not None:
                return
            past = await asyncio.to_thread(self._journal.look_back)
            now, wall = self._clock.monotonic(), self._clock.wall_ms()
            # A clock that was set back must not keep a tag from being written for ever.
            self._last = {tag: now - max(0, wall - ms) / 1000 for tag, ms in past.last_ms.items()}
            self._last_any = max(self._last.values(), default=float("-inf"))
            for line in past.open:
                await self._close_unknown(line)
            self._past = past

    async def _close_unknown(self, line: Any) -> None:
        report = WriteReport(
            id=str(line.get("id")), tag=str(line.get("tag")), value=line.get("value"), raw=line.get("raw"),
            state="unknown", code="unknown", message="the agent ended in the middle of it",
        )  # fmt: skip
        order = WriteOrder(
            tag=report.tag[:300], value=report.value, by=str(line.get("by", ""))[:200],
            source=str(line.get("source", ""))[:200], command=str(line.get("command", ""))[:100],
        )  # fmt: skip
        await self._append(self._end_line(report))
        self._announce(order, report)

    def problem(self, tag: str, value: JsonValue) -> NotAllowed | None:
        """Why this would be refused at once, as things stand; None: it would be tried."""
        try:
            rules = self._rules()
            permit = self._permit(rules, tag)
            permit.judge(value)
            self._check_rate(rules, permit)
        except NotAllowed as fault:
            return fault
        return None

    async def write(self, order: WriteOrder, seconds: float) -> WriteReport:
        """Raises nothing but CancelledError; what was begun then still goes on to its end."""
        if self._closed:
            return _refused(order, NotAllowed("not_connected", "the agent is stopping"))
        if len(self._under_way) >= MOST_WAITING:
            text = f"{MOST_WAITING} writes are waiting already"
            return _refused(order, NotAllowed("too_often", text))
        task = asyncio.ensure_future(self._write(order, seconds))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task)

    async def close(self, seconds: float) -> None:
        """Begins no more, and waits so long for what is under way."""
        self._closed = True
        if self._under_way:
            await asyncio.wait(set(self._under_way), timeout=seconds)

    async def _write(self, order: WriteOrder, seconds: float) -> WriteReport:
        deadline = self._clock.monotonic() + seconds
        try:
            await self.look_back()
            rules = self._rules()
            permit = self._permit(rules, order.tag)
            raw = permit.judge(order.value)
            self._check_rate(rules, permit)
            link = self._link(permit)
            if link is None:
                text = f"{permit.connection} is not polled as it is configured now: try again"
                raise NotAllowed("not_connected", text)
        except NotAllowed as fault:
            logger.info("write refused", tag=order.tag, by=order.by, code=fault.code)
            return _refused(order, fault)
        except NotJournalled as fault:
            return _refused(order, NotAllowed("not_journalled", str(fault)))
        now, before = self._clock.monotonic(), (self._last.get(order.tag, float("-inf")), self._last_any)
        self._last[order.tag] = self._last_any = now
        self._busy.add(order.tag)
        try:
            report = await self._carry_out(order, permit, raw, link, deadline)
        finally:
            self._busy.discard(order.tag)
        if report.code in _NOT_SENT and self._last[order.tag] == self._last_any == now:
            self._last[order.tag], self._last_any = before  # what was not sent counts for no rate
        return report

    async def _carry_out(
        self, order: WriteOrder, permit: Permit, raw: JsonValue, link: WriteLink, deadline: float
    ) -> WriteReport:
        report = WriteReport(
            id=uuid4().hex[:16], tag=order.tag, state="unknown", code="unknown",
            value=values.shown(permit.tag, raw), raw=raw,
        )  # fmt: skip
        before = {"phase": "begin", "id": report.id, "time": self._clock.wall_ms(), "tag": order.tag}
        said = {"value": report.value, "raw": raw, "by": order.by, "source": order.source}
        try:
            await self._append({**before, **said, "command": order.command})
        except NotJournalled as fault:
            return _refused(order, NotAllowed("not_journalled", str(fault)))
        try:
            report = await self._send(report, permit, raw, link, deadline)
        finally:
            # Also where the agent stops in the middle: then it is unknown, and said so.
            try:
                await self._append(self._end_line(report))
            except NotJournalled as fault:
                logger.error("the end of a write is not journalled", tag=order.tag, error=str(fault))
            self._announce(order, report)
        return report

    async def _send(
        self, report: WriteReport, permit: Permit, raw: JsonValue, link: WriteLink, deadline: float
    ) -> WriteReport:
        reading = permit.entry.confirm == "read_back"
        failed: WriteReport | None = None
        try:
            # A PLC that does not answer this is not written either.
            before = await self._read(permit, link, deadline) if reading else None
            report = report.model_copy(update={"before": None if self._hides(permit) else before})
            if self._rules().permits.get(permit.entry.tag) != permit:
                text = "what may be written was changed while this waited"
                return _ended(report, "refused", "not_writable", text)
            await link.write(permit.unit_id, permit.target, raw, self._left(deadline))
        except NotConnected as error:
            return _ended(report, "refused", "not_connected", str(error))
        except (WriteRefused, Unsupported) as error:
            failed = _ended(report, "refused", "device_refused", str(error))
        except WriteUnknown as error:
            failed = _ended(report, "unknown", "unknown", str(error))
        # It may have waited for its turn: the next one counts from when it was sent.
        self._last[permit.entry.tag] = self._last_any = self._clock.monotonic()
        if failed is not None:
            return failed
        if not reading:
            return _ended(report, "unconfirmed")
        return await self._confirmed(report, permit, raw, link, deadline)

    async def _confirmed(
        self, report: WriteReport, permit: Permit, raw: JsonValue, link: WriteLink, deadline: float
    ) -> WriteReport:
        if permit.entry.delay:
            await self._clock.sleep(permit.entry.delay)
        try:
            seconds = max(1.0, self._left(deadline))
            seen = await link.read_target(permit.unit_id, permit.target, seconds)
        except (NotConnected, Unsupported) as error:
            text = f"the device took it, and it could not be read back: {error}"
            return _ended(report, "unconfirmed", message=text)
        after = values.shown(permit.tag, seen)
        hidden = self._hides(permit)
        report = report.model_copy(update={"after": None if hidden else after})
        if permit.agrees(raw, seen):
            return _ended(report, "confirmed")
        held = "another value" if hidden else after
        text = f"the device took it, and holds {held} instead of {report.value}"
        return _ended(report, "differs", "differs", text)

    async def _read(self, permit: Permit, link: WriteLink, deadline: float) -> JsonValue:
        """None where it cannot be read. Raises NotConnected."""
        try:
            seen = await link.read_target(permit.unit_id, permit.target, self._left(deadline))
        except Unsupported:
            return None
        return values.shown(permit.tag, seen)

    def _left(self, deadline: float) -> float:
        return max(0.0, deadline - self._clock.monotonic())

    # --- judging -----------------------------------------------------------------------------------

    def _permit(self, rules: Rules, tag: str) -> Permit:
        if not rules.permits:
            raise NotAllowed("not_writable", NOBODY)
        permit = rules.permits.get(tag)
        if permit is None:
            raise NotAllowed(
                "not_writable", f"{tag} may not be written: writes.allow of this device lacks it"
            )
        if isinstance(permit, str):
            raise NotAllowed("not_writable", permit)
        return permit

    def _check_rate(self, rules: Rules, permit: Permit) -> None:
        if permit.entry.interval and permit.entry.tag in self._busy:
            raise NotAllowed("too_often", f"a write of {permit.entry.tag} is under way already")
        now = self._clock.monotonic()
        for what, last, interval in (
            (permit.entry.tag, self._last.get(permit.entry.tag, float("-inf")), permit.entry.interval),
            ("all tags together", self._last_any, rules.interval),
        ):
            wait = last + interval - now
            if wait > 0:
                text = f"at most one write of {what} each {interval:g} s: again in {wait:.1f} s"
                raise NotAllowed("too_often", text)

    # --- telling -----------------------------------------------------------------------------------

    async def _append(self, line: Any) -> None:
        async with self._appending:  # a disk that hangs takes one thread: names are looked up in the others
            await asyncio.to_thread(self._journal.append, line)

    def _end_line(self, report: WriteReport) -> dict[str, Any]:
        said = report.model_dump(mode="json", include={"id", "tag", "state", "code", "message", "after"})
        return {"phase": "end", "time": self._clock.wall_ms(), **said}

    def _announce(self, order: WriteOrder, report: WriteReport) -> None:
        who = f" by {order.by}" if order.by else ""
        more = f": {report.message}" if report.message else ""
        text = f"{report.tag} = {report.value}{who}: {report.state}{more}"
        data = report.model_dump(mode="json") | {"by": order.by, "source": order.source}
        data |= {"command_id": order.command} if order.command else {}
        connection = report.tag.partition(".")[0]
        logger.info("write", tag=report.tag, state=report.state, by=order.by, write=report.id)
        self._tell(
            Event(
                time=self._clock.wall_ms(), code="write", message=text[:_TEXT], connection=connection,
                data=data,
            )
        )  # fmt: skip


def _refused(order: WriteOrder, fault: NotAllowed) -> WriteReport:
    return WriteReport(
        tag=order.tag, value=order.value, state="refused", code=fault.code, message=str(fault)[:_TEXT]
    )


def _ended(report: WriteReport, state: str, code: str = "", message: str = "") -> WriteReport:
    return report.model_copy(update={"state": state, "code": code, "message": message[:_TEXT]})
