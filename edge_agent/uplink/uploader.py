"""The two lanes to the centre. The live lane knows the newest first, the backlog lane the oldest.

While the centre is away the live lane alone knocks, with the newest batch, so that the newest value is
there first when it returns. With nothing new to knock with it takes the newest of what is left.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from random import Random
from typing import Final

from edge_agent.contracts.clock import Clock
from edge_agent.contracts.outbox import Outbox
from edge_agent.contracts.status import SinkReport
from edge_agent.runtime.progress import Pulse
from edge_agent.runtime.waiting import wait_for_event
from edge_agent.uplink import lanes
from edge_agent.uplink.bell import Bell
from edge_agent.uplink.delivery import Centre, Delivery, UploadCounts
from edge_agent.uplink.errors import Unreachable, UplinkFault
from edge_agent.uplink.gate import Gate
from edge_agent.uplink.reach import Reach
from edge_agent.wire import ranges
from edge_agent.wire.messages import Event
from edge_agent.wire.ranges import Ranges
from edge_agent.wire.upload import ITEM_BYTES, MAX_BODY_BYTES, BatchItem

LIVE_LAG_SECONDS: Final = 5.0
# A batch on which the centre fails so often, alone and while others pass, is put off.
_FAILURES_ALONE: Final = 3
# How often the backlog looks whether it has come short meanwhile.
_LOOK_SECONDS: Final = 1.0
# A lane that has nothing to do shows this often that it would turn.
IDLE_SECONDS: Final = 30.0
# What one turn may take: uploads with their schemas over the slowest link, each under its own time-out.
TURN_SECONDS: Final = 600.0


def _nobody(_: Event) -> None: ...


def _no_hint(_: str | None) -> None: ...


def _no_commands(_: int) -> None: ...


@dataclass(slots=True)
class _Burst:
    """How much of the backlog goes into one POST while the centre fails on it: less each time."""

    most: int | None = None
    failures_alone: int = 0

    def failed(self, items: int) -> bool:
        """True: the only item has failed often enough."""
        if items > 1:
            self.most, self.failures_alone = items // 2, 0
            return False
        self.most = 1
        self.failures_alone += 1
        return self.failures_alone >= _FAILURES_ALONE

    def over(self) -> None:
        self.most, self.failures_alone = None, 0


class Uploader:
    """Implements no contract: `app` runs `run_live` and `run_backlog` side by side, each supervised."""

    def __init__(
        self,
        client: Centre,
        outbox: Outbox,
        clock: Clock,
        catch_up_rate: int,
        on_hint: Callable[[str | None], None],
        random: Random | None = None,
        on_event: Callable[[Event], None] = _nobody,
        on_commands: Callable[[int], None] = _no_commands,
        most_bytes: int = MAX_BODY_BYTES,
        on_scripts_hint: Callable[[str | None], None] = _no_hint,
    ) -> None:
        """catch_up_rate: bytes a second. on_hint, on_scripts_hint: get the ETags of the centre's config and
        of its scripts. on_event: what operators should see in the device's history. on_commands: gets how
        many commands wait at the centre. most_bytes: that one upload may have on its way there."""
        self._outbox = outbox
        self._clock = clock
        self._reach = Reach(clock, random or Random())
        self._delivery = Delivery(
            client, outbox, clock, on_hint, on_event, on_commands, most_bytes, on_scripts_hint
        )
        self._withheld = self._delivery.withheld
        self._gate = Gate()
        self._bells = (Bell(outbox, clock), Bell(outbox, clock))
        self._bucket = lanes.TokenBucket(catch_up_rate)
        self._burst = _Burst()
        self._cursor = 1
        self._cursor_epoch = 0
        self.live_pulse, self.backlog_pulse = Pulse(), Pulse()

    @property
    def counts(self) -> UploadCounts:
        return self._delivery.counts

    def try_now(self) -> None:
        """The centre may take what it refused."""
        self._reach.try_now()

    def pace(self, seconds: float | None) -> None:
        """The centre asks for this much time between POSTs, in whatever answer."""
        self._delivery.pace(seconds)

    # --- the lanes -------------------------------------------------------------------------------

    async def run_live(self) -> None:
        """Never returns. Raises only what is a bug or the buffer's."""
        while True:
            self.live_pulse.beat(self._reach.knock_seconds)
            await self._reach.until_knock()
            self.live_pulse.beat(TURN_SECONDS)
            began = self._clock.monotonic()
            if await self._turn(self._live_wanted, live=True):
                await self._keep_pace(began, self.live_pulse)
            else:
                await self._idle(self._bells[0], self.live_pulse, live=True)

    async def run_backlog(self) -> None:
        """Never returns. Raises only what is a bug or the buffer's."""
        while True:
            self.backlog_pulse.beat(IDLE_SECONDS)
            if not await wait_for_event(self._reach.available, IDLE_SECONDS, self._clock):
                continue
            if not await self._may_catch_up():
                continue
            self.backlog_pulse.beat(TURN_SECONDS)
            began = self._clock.monotonic()
            if await self._turn(self._backlog_wanted, live=False):
                await self._keep_pace(began, self.backlog_pulse)
            else:
                await self._idle(self._bells[1], self.backlog_pulse, live=False)

    async def _idle(self, bell: Bell, pulse: Pulse, *, live: bool) -> None:
        """Waits for news or for what was withheld, and shows all the while that it would turn."""
        returns = self._next_return(live=live)
        until = inf if returns is None else returns
        rung = False
        while not rung:
            pulse.beat(IDLE_SECONDS)
            rung = await bell.wait(min(self._clock.monotonic() + IDLE_SECONDS, until))
            rung = rung or self._clock.monotonic() >= until

    async def _may_catch_up(self) -> bool:
        """Waits for the rate, unless the backlog has come short. False: the centre has gone meanwhile."""
        while (delay := self._bucket.delay(self._clock.monotonic())) > 1e-6:
            if self._delivery.share.backlog_is_short:
                break
            self.backlog_pulse.beat(_LOOK_SECONDS)
            await self._clock.sleep(min(delay, _LOOK_SECONDS))
        return self._reach.available.is_set()

    async def _keep_pace(self, began: float, pulse: Pulse) -> None:
        left = began + self._delivery.send_interval - self._clock.monotonic()
        if left > 0 and self._reach.available.is_set():
            pulse.beat(left)
            await self._clock.sleep(left)

    async def _turn(self, choose: Callable[[], tuple[int, Ranges]], *, live: bool) -> bool:
        """Sends what `choose` names. False: it named nothing."""
        async with self._gate.shared():
            epoch_no, wanted = choose()
            if wanted:
                await self._send(epoch_no, wanted, live=live)
        if self._to_rename() is not None:
            async with self._gate.alone():
                await self._rename()
            for bell in self._bells:
                bell.ring()
        return bool(wanted)

    def _to_rename(self) -> int | None:
        """An epoch whose known conflicts are to be renamed now: the current one, since the next new batch
        may conflict as well, or one of which every other name has had its answer."""
        now = self._clock.monotonic()
        for no in self._withheld.epochs_in_conflict:
            left = ranges.subtract(self._outbox.held(no), self._withheld.set_aside(no, now))
            if no == self._outbox.current_epoch or not left:
                return no
        return None

    async def _rename(self) -> None:
        epoch_no, began = self._to_rename(), self._clock.monotonic()
        if epoch_no is None:
            return
        try:
            await self._delivery.rename(epoch_no)
        except UplinkFault as fault:
            self._failed(fault, began)

    async def _send(self, epoch_no: int, wanted: Ranges, *, live: bool) -> None:
        items = await self._fetch(epoch_no, wanted, live=live)
        if not items:
            return
        began = self._clock.monotonic()
        passed = False
        try:
            passed = await self._delivery.deliver(epoch_no, items, live=live)
        except UplinkFault as fault:
            self._failed(fault, began)
            if not live and isinstance(fault, Unreachable) and self._burst.failed(len(items)):
                self._withheld.put_off(epoch_no, [(items[0].seq, items[0].seq)], self._clock.monotonic())
                self._burst.over()
        finally:
            self._withheld.release(epoch_no, items)
        if passed:
            if not self._reach.available.is_set():
                self._bells[1].ring()
            self._reach.answered()
        if not live:
            self._note_backlog(items, began, passed=passed)

    async def _fetch(self, epoch_no: int, wanted: Ranges, *, live: bool) -> list[BatchItem]:
        """What one POST takes of `wanted`, claimed for it."""
        size, now = self._delivery.size, self._clock.monotonic()
        # One POST of the backlog is never more than a second of its rate, or a low rate would come in lumps.
        limit = size.most(now) if live else min(size.backlog(now), int(self._bucket.rate))
        found = await self._outbox.fetch(epoch_no, wanted, limit)
        if not found:
            self._withheld.put_off(epoch_no, wanted, now)
            return []
        items = lanes.fitting(found, self._outbox.head(epoch_no), limit)
        if not live and self._burst.most is not None:
            items = items[: self._burst.most]
        return self._withheld.claim(epoch_no, items)

    def _failed(self, fault: UplinkFault, began: float) -> None:
        self.counts.failed_posts += 1
        self._reach.failed(fault, began)
        # An idle live lane would not notice, and nobody else knocks.
        self._bells[0].ring()

    def _note_backlog(self, items: Sequence[BatchItem], began: float, *, passed: bool) -> None:
        now = self._clock.monotonic()
        nbytes = sum(len(item.body) + ITEM_BYTES for item in items)
        self._bucket.spend(nbytes, now)
        self._delivery.size.note(nbytes if passed else 0, now - began)
        if passed:
            self._burst.over()

    # --- what to send ----------------------------------------------------------------------------

    def _excluded(self, epoch_no: int) -> Ranges:
        return self._withheld.excluded(epoch_no, self._clock.monotonic())

    def _live_wanted(self) -> tuple[int, Ranges]:
        epoch_no = self._outbox.current_epoch
        if not epoch_no:
            return 0, []
        newest = max(1, self._outbox.head(epoch_no).next - 1)
        if epoch_no != self._cursor_epoch or not self._reach.available.is_set():
            self._cursor_epoch, self._cursor = epoch_no, newest
        if not self._reach.available.is_set():
            return self._knock()
        held, excluded = self._outbox.held(epoch_no), self._excluded(epoch_no)
        in_order = lanes.live(held, self._cursor, [], excluded)
        if in_order and self._is_behind(epoch_no, in_order[0][0]):
            self._cursor = newest
            self._bells[1].ring()
        return epoch_no, lanes.live(held, self._cursor, self._outbox.urgent(), excluded)

    def _knock(self) -> tuple[int, Ranges]:
        """One batch to find out with whether the centre is there: the newest, of whatever is left."""
        for head in reversed(self._outbox.heads()):
            left = ranges.subtract(head.held, self._excluded(head.no))
            if left:
                return head.no, [(left[-1][1], left[-1][1])]
        return self._due_suspect() or (self._outbox.current_epoch, [])

    def _is_behind(self, epoch_no: int, seq: int) -> bool:
        committed = self._outbox.committed_at(epoch_no, seq)
        lag = LIVE_LAG_SECONDS + self._delivery.send_interval
        return committed is None or self._clock.monotonic() - committed > lag

    def _backlog_wanted(self) -> tuple[int, Ranges]:
        """A suspect whose turn it is, else the oldest of the oldest epoch that has anything."""
        current = self._outbox.current_epoch
        if not self._reach.available.is_set():
            return current, []
        suspect = self._due_suspect()
        if suspect is not None:
            return suspect
        for head in self._outbox.heads():
            cursor = self._cursor if head.no == self._cursor_epoch else head.next
            wanted = lanes.backlog(head.held, cursor, self._excluded(head.no))
            if wanted:
                return head.no, wanted
        return current, []

    def _next_return(self, *, live: bool) -> float | None:
        """When something that is withheld may be sent again by this lane."""
        times = [self._withheld.next_return()]
        if not live or not self._reach.available.is_set():
            times.append(self._withheld.suspects.next_due())
        return min((at for at in times if at is not None), default=None)

    def _due_suspect(self) -> tuple[int, Ranges] | None:
        suspects = self._withheld.suspects
        while (key := suspects.take_due(self._clock.monotonic())) is not None:
            epoch_no, seq = key
            if ranges.contains(self._outbox.held(epoch_no), seq):
                return epoch_no, [(seq, seq)]
            suspects.clear(epoch_no, seq)
        return None

    @property
    def owes(self) -> bool:
        """Whether there is something that the centre could have taken by now, on its way or not."""
        now = self._clock.monotonic()
        return any(
            ranges.subtract(head.held, self._withheld.set_aside(head.no, now))
            for head in self._outbox.heads()
        )

    @property
    def connects(self) -> bool:
        """Whether what is at the centre's address takes connections, as far as the newest exchange tells."""
        return self._reach.connects

    def report(self) -> SinkReport:
        current = self._outbox.current_epoch
        cursor = self._cursor if current == self._cursor_epoch else 1
        backlog = ranges.size(lanes.backlog(self._outbox.held(current), cursor, []))
        older = sum(ranges.size(head.held) for head in self._outbox.heads() if head.no != current)
        state, detail = self._reach.state, self._reach.detail
        if state == "ok" and self._withheld.is_blocked:
            state, detail = "blocked", self._delivery.blocked_detail
        return SinkReport(
            name="central",
            state=state,
            detail=detail[:300],
            last_success=self.counts.last_success_ms,
            delivered_batches=self.counts.delivered_batches,
            delivered_bytes=self.counts.delivered_bytes,
            delivered_samples=self.counts.delivered_samples,
            delay_ms=self.counts.delay_ms,
            failed_posts=self.counts.failed_posts,
            backlog_batches=backlog + older,
        )
