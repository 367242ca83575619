"""Sends batches to the centre: a live lane and a backlog lane that share one view of the centre.

The table of answers in docs/specs/batch-v1.md is `_deliver` and `_pause`. While the centre is away the
live lane alone knocks, with the newest batch, so that the newest value is there first when it returns.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final

import structlog

from edge_agent.contracts.clock import Clock
from edge_agent.contracts.outbox import Outbox
from edge_agent.contracts.status import SinkReport
from edge_agent.runtime.backoff import Backoff
from edge_agent.runtime.logging import OutageLog
from edge_agent.runtime.waiting import wait_for_event
from edge_agent.uplink import lanes
from edge_agent.uplink.client import CentreClient
from edge_agent.uplink.errors import (
    BodyTooLarge,
    Invalid,
    Refused,
    RetryAfter,
    SeqConflict,
    Unreachable,
    UplinkFault,
)
from edge_agent.wire import ranges
from edge_agent.wire.messages import UploadAnswer
from edge_agent.wire.ranges import Ranges
from edge_agent.wire.upload import ITEM_BYTES, MAX_BODY_BYTES, BatchItem, encode_upload

logger = structlog.stdlib.get_logger(__name__)

# The newest value is there within 5 s of the centre's return: knocking may not be rarer than this.
KNOCK_FIRST_SECONDS: Final = 0.5
KNOCK_MAX_SECONDS: Final = 3.0
REFUSED_FIRST_SECONDS: Final = 30.0
REFUSED_MAX_SECONDS: Final = 900.0
LIVE_LAG_SECONDS: Final = 5.0
# Room for the head in a body; it names the ranges that are held.
_HEAD_ROOM_BYTES: Final = 16 * 1024
_PARKED_SECONDS: Final = 900.0


@dataclass(slots=True)
class UploadCounts:
    delivered_batches: int = 0
    delivered_bytes: int = 0
    failed_posts: int = 0
    last_success_ms: int | None = None


class Uploader:
    """Implements no contract: `app` runs `run_live` and `run_backlog` side by side, each supervised."""

    def __init__(
        self,
        client: CentreClient,
        outbox: Outbox,
        clock: Clock,
        catch_up_rate: int,
        on_hint: Callable[[str | None], None],
        random: Random | None = None,
    ) -> None:
        self._client = client
        self._outbox = outbox
        self._clock = clock
        self._on_hint = on_hint
        self._random = random or Random()
        self._reachable = asyncio.Event()
        self._cursor = 1
        self._cursor_epoch = 0
        self._in_flight: set[tuple[int, int]] = set()
        self._parked: dict[tuple[int, int], float] = {}
        self._suspects = lanes.Suspects()
        self._size = lanes.PostSize(MAX_BODY_BYTES)
        self._bucket = lanes.TokenBucket(catch_up_rate)
        self._share = lanes.Share()
        self._send_interval = 0.0
        self._knock = Backoff(KNOCK_FIRST_SECONDS, KNOCK_MAX_SECONDS)
        self._refusal = Backoff(REFUSED_FIRST_SECONDS, REFUSED_MAX_SECONDS)
        self._outages = OutageLog(logger.bind(sink="central"), clock)
        self._state = "unreachable"
        self._detail = "not tried yet"
        self.counts = UploadCounts()

    # --- the lanes -------------------------------------------------------------------------------

    async def run_live(self) -> None:
        """Never returns. Raises only what is a bug."""
        seen = -1
        while True:
            epoch_no, wanted = self._live_wanted()
            if not wanted:
                seen = await self._outbox.wait_for_commit(seen)
                continue
            items = await self._outbox.fetch(epoch_no, wanted, self._room())
            started = self._clock.monotonic()
            await self._attempt(epoch_no, items, live=True)
            if self._send_interval:
                spent = self._clock.monotonic() - started
                await self._clock.sleep(max(0.0, self._send_interval - spent))

    async def run_backlog(self) -> None:
        """Never returns. Raises only what is a bug."""
        seen = -1
        while True:
            await self._reachable.wait()
            if await self._retry_suspect():
                continue
            epoch_no, wanted = self._backlog_wanted()
            if not wanted:
                seen = await self._outbox.wait_for_commit(seen)
                continue
            limit = min(self._size.size, self._room())
            items = await self._outbox.fetch(epoch_no, wanted, limit)
            nbytes = sum(len(item.body) for item in items)
            delay = self._bucket.delay(nbytes, self._clock.monotonic())
            if delay and not self._share.backlog_is_short:
                await self._clock.sleep(delay)
            started = self._clock.monotonic()
            if await self._attempt(epoch_no, items, live=False):
                self._size.note(nbytes, self._clock.monotonic() - started)

    def _live_wanted(self) -> tuple[int, Ranges]:
        epoch_no = self._outbox.current_epoch
        newest = max(1, self._outbox.head(epoch_no).next - 1)
        if epoch_no != self._cursor_epoch:
            self._cursor_epoch, self._cursor = epoch_no, newest
        if not self._reachable.is_set():
            self._cursor = newest
        held = self._outbox.held(epoch_no)
        wanted = lanes.live(held, self._cursor, self._outbox.urgent(), self._excluded(epoch_no))
        in_order = ranges.intersect(wanted, [(self._cursor, newest)])
        if in_order and self._is_behind(epoch_no, in_order[0][0]):
            self._cursor = newest
            wanted = lanes.live(held, newest, self._outbox.urgent(), self._excluded(epoch_no))
        if not wanted and not self._reachable.is_set():
            return self._newest_held()
        return epoch_no, wanted

    def _newest_held(self) -> tuple[int, Ranges]:
        """Something to knock with where nothing new is made: the newest of whatever is left."""
        for head in reversed(self._outbox.heads()):
            left = ranges.subtract(head.held, ranges.of_numbers(self._excluded(head.no)))
            if left:
                return head.no, [(left[-1][1], left[-1][1])]
        return self._outbox.current_epoch, []

    def _is_behind(self, epoch_no: int, seq: int) -> bool:
        committed = self._outbox.committed_at(epoch_no, seq)
        return committed is None or self._clock.monotonic() - committed > LIVE_LAG_SECONDS

    def _backlog_wanted(self) -> tuple[int, Ranges]:
        """Of the oldest epoch that has anything."""
        current = self._outbox.current_epoch
        for head in self._outbox.heads():
            cursor = self._cursor if head.no == current else head.next
            wanted = lanes.backlog(self._outbox.held(head.no), cursor, self._excluded(head.no))
            if wanted:
                return head.no, wanted
        return current, []

    def _excluded(self, epoch_no: int) -> set[int]:
        now = self._clock.monotonic()
        parked = {seq for (no, seq), until in self._parked.items() if no == epoch_no and until > now}
        flying = {seq for no, seq in self._in_flight if no == epoch_no}
        return self._suspects.of_epoch(epoch_no) | parked | flying

    def _room(self) -> int:
        return max(1, self._size.most - _HEAD_ROOM_BYTES)

    async def _retry_suspect(self) -> bool:
        """Tries a refused batch again, alone. True if there was one to try."""
        key = self._suspects.due()
        if key is None:
            return False
        epoch_no, seq = key
        items = await self._outbox.fetch(epoch_no, [(seq, seq)], 1)
        if not items:
            self._suspects.clear(epoch_no, seq)
            return True
        await self._attempt(epoch_no, items, live=False)
        return True

    # --- one exchange ----------------------------------------------------------------------------

    async def _attempt(self, epoch_no: int, items: list[BatchItem], *, live: bool) -> bool:
        """Sends, and pauses after a failure. True if the centre answered."""
        names = {(epoch_no, item.seq) for item in items}
        self._in_flight |= names
        try:
            await self._deliver(epoch_no, items, live=live)
        except UplinkFault as fault:
            self.counts.failed_posts += 1
            self._in_flight -= names
            await self._pause(fault)
            return False
        finally:
            self._in_flight -= names
        return True

    async def _deliver(self, epoch_no: int, items: list[BatchItem], *, live: bool) -> None:
        """One POST, or several smaller ones where the centre refuses the whole. Raises UplinkFault."""
        if not items:
            return
        head = self._outbox.head(epoch_no)
        try:
            answer = await self._client.upload(encode_upload(head, items))
        except Invalid as fault:
            if len(items) > 1:
                await self._deliver_halves(epoch_no, items, live=live)
            else:
                await self._strike(epoch_no, items[0].seq, str(fault))
            return
        except BodyTooLarge as fault:
            await self._shrink(epoch_no, items, fault, live=live)
            return
        except SeqConflict as fault:
            logger.error("the centre has other content under this epoch's names", epoch=head.epoch)
            await self._outbox.rename(epoch_no)
            raise Unreachable(str(fault)) from fault
        if answer.epoch != head.epoch:
            raise Unreachable("the answer names another epoch: not from this centre")
        self._share.note(sum(len(item.body) for item in items), live=live)
        await self._take(epoch_no, items, answer)

    async def _deliver_halves(self, epoch_no: int, items: list[BatchItem], *, live: bool) -> None:
        middle = len(items) // 2
        await self._deliver(epoch_no, items[:middle], live=live)
        await self._deliver(epoch_no, items[middle:], live=live)

    async def _shrink(
        self, epoch_no: int, items: list[BatchItem], fault: BodyTooLarge, *, live: bool
    ) -> None:
        if len(items) > 1:
            sent = sum(len(item.body) + ITEM_BYTES for item in items)
            self._size.limit(fault.max_bytes or sent // 2)
            await self._deliver_halves(epoch_no, items, live=live)
            return
        seq = items[0].seq
        self._parked[epoch_no, seq] = self._clock.monotonic() + _PARKED_SECONDS
        self._set_state("blocked", f"batch {seq} is larger than the centre takes: {fault}")
        self._outages.down("too large", "a batch is larger than the centre takes", batch=seq)

    async def _strike(self, epoch_no: int, seq: int, why: str) -> None:
        if self._suspects.strike(epoch_no, seq):
            logger.error("the centre refuses a batch for good", batch=seq, error=why)
            await self._outbox.reject(epoch_no, seq, why)
            self._suspects.clear(epoch_no, seq)

    async def _take(self, epoch_no: int, items: list[BatchItem], answer: UploadAnswer) -> None:
        """What a 200 says, in the order that loses nothing."""
        sent = {item.seq: item for item in items}
        acked = ranges.intersect(answer.acked, ranges.of_numbers(sent))
        self.counts.delivered_batches += self._outbox.acknowledge(epoch_no, acked)
        for seq, item in sent.items():
            if ranges.contains(acked, seq):
                self.counts.delivered_bytes += len(item.body)
                self._suspects.clear(epoch_no, seq)
                self._parked.pop((epoch_no, seq), None)
        if acked:
            self._suspects.passed()
            self.counts.last_success_ms = self._clock.wall_ms()
        self._centre_is_there()
        for rejection in answer.rejected:
            if rejection.seq in sent:
                await self._strike(epoch_no, rejection.seq, f"{rejection.code} {rejection.message}".strip())
        for name in answer.need_schemas:
            await self._send_schema(name)
        if answer.resend:
            await self._outbox.resend(epoch_no, answer.resend)
        self._send_interval = min(max(answer.send_interval or 0.0, 0.0), 60.0)
        self._on_hint(answer.config_etag)
        if not acked and not answer.need_schemas and not answer.rejected:
            raise Unreachable("the centre acknowledged nothing and said no reason")

    async def _send_schema(self, name: str) -> None:
        body = await self._outbox.schema(name)
        if body is None:
            raise Unreachable(f"the centre asks for a schema that is not known here: {name[:64]}")
        try:
            await self._client.put_schema(name, body)
        except (Invalid, BodyTooLarge, SeqConflict) as fault:
            raise Unreachable(f"schema {name}: {fault}") from fault

    # --- how the centre is -----------------------------------------------------------------------

    def _centre_is_there(self) -> None:
        self._knock.reset()
        self._refusal.reset()
        self._outages.back("centre", "the centre answers again")
        self._reachable.set()
        now = self._clock.monotonic()
        blocked = any(until > now for until in self._parked.values())
        if not blocked:
            self._outages.back("too large", "no batch is too large any more")
            self._set_state("ok", "")

    async def _pause(self, fault: UplinkFault) -> None:
        """Notes what is wrong and waits as long as that asks for."""
        self._reachable.clear()
        match fault:
            case Refused():
                delay = self._refusal.next()
                self._set_state("refused", str(fault.args[0]))
            case RetryAfter(delay_seconds=seconds):
                # Spread over half as much again: a fleet was told the same number.
                delay = seconds * (1 + 0.5 * self._random.random())
                self._set_state("unreachable", str(fault))
            case _:
                delay = self._knock.next()
                self._set_state("unreachable", str(fault))
        self._outages.down("centre", "the centre does not take data", error=self._detail)
        # The other lane may get through meanwhile.
        await wait_for_event(self._reachable, delay, self._clock)

    def _set_state(self, state: str, detail: str) -> None:
        self._state, self._detail = state, detail

    def report(self) -> SinkReport:
        current = self._outbox.current_epoch
        backlog = ranges.size(ranges.intersect(self._outbox.held(current), [(1, self._cursor - 1)]))
        older = sum(ranges.size(head.held) for head in self._outbox.heads() if head.no != current)
        return SinkReport(
            name="central",
            state=self._state,
            detail=self._detail[:300],
            last_success=self.counts.last_success_ms,
            delivered_batches=self.counts.delivered_batches,
            delivered_bytes=self.counts.delivered_bytes,
            failed_posts=self.counts.failed_posts,
            backlog_batches=backlog + older,
        )
