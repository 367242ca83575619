"""One delivery: some batches, and all that the centre can say to them.

The table of answers in docs/specs/batch-v1.md is here and in client.py. What is acknowledged is noted at
once; what one batch cannot have is found by halving and withheld, so that the others pass.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from edge_agent.contracts.clock import Clock
from edge_agent.contracts.outbox import Outbox
from edge_agent.runtime.logging import OutageLog
from edge_agent.uplink import lanes
from edge_agent.uplink.errors import (
    Blocked,
    BodyTooLarge,
    Invalid,
    Refused,
    SeqConflict,
    Unusable,
    UplinkFault,
)
from edge_agent.uplink.withheld import Withheld
from edge_agent.wire import ranges
from edge_agent.wire.messages import Event, UploadAnswer
from edge_agent.wire.ranges import Ranges
from edge_agent.wire.upload import BatchItem, encode_upload

logger = structlog.stdlib.get_logger(__name__)

# So many single batches refused one after the other, and it is the centre that is wrong and not they.
REFUSALS_IN_A_ROW: Final = 3
LONGEST_SEND_INTERVAL_SECONDS: Final = 60.0
_TEXT: Final = 500
_MOST_CENTRES: Final = 100


class Centre(Protocol):
    """What a delivery needs of the client. Both raise UplinkFault."""

    async def upload(self, body: bytes) -> UploadAnswer: ...

    async def put_schema(self, name: str, body: bytes) -> None: ...


@dataclass(slots=True)
class UploadCounts:
    delivered_batches: int = 0
    delivered_bytes: int = 0
    delivered_samples: int = 0
    newest: tuple[int, int] = (0, 0)
    delay_ms: int | None = None
    failed_posts: int = 0
    last_success_ms: int | None = None

    def acknowledged(self, epoch_no: int, item: BatchItem, now_ms: int) -> None:
        """The backlog's old batches say nothing about how long a new sample takes."""
        self.delivered_bytes += len(item.body)
        self.delivered_samples += item.samples
        if (epoch_no, item.seq) > self.newest:
            self.newest = (epoch_no, item.seq)
            self.delay_ms = max(0, now_ms - item.t0)


class Delivery:
    """Shared by both lanes: what one learns of the centre holds for the other."""

    def __init__(
        self,
        centre: Centre,
        outbox: Outbox,
        clock: Clock,
        on_hint: Callable[[str | None], None],
        on_event: Callable[[Event], None],
        on_commands: Callable[[int], None],
        most_bytes: int,
        on_scripts_hint: Callable[[str | None], None],
    ) -> None:
        self._centre = centre
        self._outbox = outbox
        self._clock = clock
        self._on_hint = on_hint
        self._on_event = on_event
        self._on_commands = on_commands
        self._on_scripts_hint = on_scripts_hint
        self.withheld = Withheld()
        self.size = lanes.PostSize(most_bytes)
        self.share = lanes.Share()
        self.counts = UploadCounts()
        self.send_interval = 0.0
        self.blocked_detail = ""
        self._centres: set[str] = set()
        self._refused_in_a_row = 0
        self._outages = OutageLog(logger.bind(sink="central"), clock)

    async def deliver(self, epoch_no: int, items: Sequence[BatchItem], *, live: bool) -> bool:
        """Sends until each item is acknowledged, left for later, or withheld. True: some were acknowledged.

        Names that the centre has with other content are withheld until `rename`. Raises UplinkFault where
        the centre is not to be used for now.
        """
        passed = False
        brought: set[str] = set()
        stack = [list(items)]
        while stack:
            part = self._still_held(epoch_no, stack.pop())
            if not part:
                continue
            known = len(brought)
            try:
                acked = await self._exchange(epoch_no, part, brought, live=live)
                passed = passed or bool(acked)
                if len(brought) > known:
                    stack.append(part)
            except (Invalid, Blocked) as fault:
                stack += await self._narrow(epoch_no, part, fault)
            except SeqConflict as fault:
                stack.append(self._without_conflicts(epoch_no, part, fault))
        return passed

    async def rename(self, epoch_no: int) -> None:
        """Gives the batches new names whose names conflict, and no others: those the centre may have.

        When no other delivery is under way. Raises Refused where nobody else can have used the names.
        """
        names = ranges.intersect(self.withheld.conflicting(epoch_no), self._outbox.held(epoch_no))
        self.withheld.forget(epoch_no)
        if not names:
            return
        current = self._outbox.current_epoch
        await self._outbox.rename(epoch_no, names)
        epoch = self._outbox.head(epoch_no).epoch
        text = f"the centre has other content under {ranges.size(names)} names of epoch {epoch}"
        if self._outbox.current_epoch == current:
            raise Refused(f"409: {text}, which nobody else can have used", 409)
        self._tell("seq_conflict", f"{text}, from {names[0][0]} on: the batches have new names now")

    def _still_held(self, epoch_no: int, part: list[BatchItem]) -> list[BatchItem]:
        """Without what was acknowledged, given up or dropped meanwhile."""
        names = ranges.of_numbers(item.seq for item in part)
        left = ranges.intersect(names, self._outbox.held(epoch_no))
        if left == names:
            return part
        kept = _numbers(left)
        return [item for item in part if item.seq in kept]

    async def _exchange(
        self, epoch_no: int, part: list[BatchItem], brought: set[str], *, live: bool
    ) -> Ranges:
        """One POST and what its answer asks for. Returns what was acknowledged.

        Where schemas were `brought`, the rest may go again at once.
        """
        head = self._outbox.head(epoch_no)
        body = encode_upload(head, part)
        answer = await self._centre.upload(body)
        if answer.epoch != head.epoch:
            raise Unusable("the answer names another epoch: it is not from this centre")
        self.share.note(len(body), live=live)
        self._meet(answer.centre)
        acked = self._acknowledge(epoch_no, part, answer.acked)
        named = {item.seq for item in part} - _numbers(acked)
        for rejection in answer.rejected:
            if rejection.seq in named:
                why = f"{rejection.code} {rejection.message}".strip()
                await self._refused(epoch_no, rejection.seq, why)
        resend = ranges.subtract(answer.resend, acked)
        if resend:
            await self._outbox.resend(epoch_no, resend)
        self.pace(answer.send_interval)
        self._on_hint(answer.config_etag)
        self._on_scripts_hint(answer.scripts_etag)
        self._on_commands(answer.commands_waiting)
        if answer.need_schemas and self._still_held(epoch_no, part):
            await self._bring_schemas(answer.need_schemas, brought)
        elif not acked and not named.isdisjoint(rejection.seq for rejection in answer.rejected):
            self._another_refusal(f"{answer.rejected[0].code} {answer.rejected[0].message}")
        elif not acked:
            raise Unusable("the centre acknowledged nothing and said no reason")
        return acked

    def pace(self, seconds: float | None) -> None:
        """The centre asks for this much time between POSTs."""
        self.send_interval = min(max(seconds or 0.0, 0.0), LONGEST_SEND_INTERVAL_SECONDS)

    def _meet(self, centre: str) -> None:
        """A centre that was not met before has another database: what it lacks it asks for by itself."""
        if centre in self._centres or len(self._centres) >= _MOST_CENTRES:
            return
        if self._centres:
            self._tell("centre_changed", f"the centre has another database now: {centre}")
        self._centres.add(centre)

    def _acknowledge(self, epoch_no: int, part: Sequence[BatchItem], answered: Ranges) -> Ranges:
        """Notes what was delivered; what was never sent cannot have been."""
        sent = {item.seq: item for item in part}
        acked = ranges.intersect(answered, ranges.of_numbers(sent))
        if not acked:
            return acked
        now_ms = self.counts.last_success_ms = self._clock.wall_ms()
        self.counts.delivered_batches += self._outbox.acknowledge(epoch_no, acked)
        for seq in _numbers(acked):
            self.counts.acknowledged(epoch_no, sent[seq], now_ms)
            self.withheld.suspects.clear(epoch_no, seq)
        self.withheld.suspects.passed()
        self._refused_in_a_row = 0
        if not self.withheld.is_blocked:
            self._outages.back("blocked", "the centre can take every batch again")
        return acked

    async def _bring_schemas(self, names: Sequence[str], brought: set[str]) -> None:
        for name in names:
            if name in brought:
                raise Blocked(f"the centre asks for a schema again that it has just got: {name[:64]}")
            body = await self._outbox.schema(name)
            if body is None:
                raise Invalid(f"the centre asks for a schema that is not known here: {name[:64]}")
            try:
                await self._centre.put_schema(name, body)
            except (Invalid, Blocked, SeqConflict) as fault:
                raise Blocked(f"the centre does not take schema {name}: {fault}") from fault
            brought.add(name)

    async def _narrow(
        self, epoch_no: int, part: list[BatchItem], fault: UplinkFault
    ) -> list[list[BatchItem]]:
        """Two halves to try next, the last one first; a single batch is withheld instead."""
        left = self._still_held(epoch_no, part)
        if isinstance(fault, BodyTooLarge) and len(left) > 1:
            refused_bytes = sum(len(item.body) for item in part)
            self.size.limit(fault.max_bytes, refused_bytes, self._clock.monotonic())
        if len(left) > 1:
            middle = len(left) // 2
            return [left[middle:], left[:middle]]
        for item in left:
            if isinstance(fault, Blocked):
                self._block(epoch_no, item.seq, str(fault))
            else:
                await self._refused(epoch_no, item.seq, str(fault))
            if not (isinstance(fault, BodyTooLarge) and fault.is_own):
                self._another_refusal(str(fault))
        return []

    def _without_conflicts(self, epoch_no: int, part: list[BatchItem], fault: SeqConflict) -> list[BatchItem]:
        """What of `part` may go again. Raises Unusable where it names nothing of it: whoever said that."""
        names = ranges.of_numbers(item.seq for item in part)
        taken = ranges.intersect(fault.conflicts, names)
        if not taken or fault.epoch != self._outbox.head(epoch_no).epoch:
            raise Unusable(f"a conflict over names that were not sent: {fault}") from fault
        self.withheld.conflict(epoch_no, taken)
        left = _numbers(ranges.subtract(names, taken))
        return [item for item in part if item.seq in left]

    def _another_refusal(self, why: str) -> None:
        self._refused_in_a_row += 1
        if self._refused_in_a_row >= REFUSALS_IN_A_ROW:
            raise Unusable(f"the centre refuses one batch after the other: {why}")

    def _block(self, epoch_no: int, seq: int, why: str) -> None:
        self.withheld.block(epoch_no, seq, self._clock.monotonic())
        self.blocked_detail = f"the centre cannot take batch {seq}: {why}"
        if self._outages.down("blocked", "the centre cannot take a batch", batch=seq, error=why):
            self._record("upload_blocked", self.blocked_detail)

    async def _refused(self, epoch_no: int, seq: int, why: str) -> None:
        suspects = self.withheld.suspects
        if suspects.refused(epoch_no, seq, self._clock.monotonic()):
            logger.error("the centre refuses a batch for good", batch=seq, error=why)
            await self._outbox.reject(epoch_no, seq, why[:_TEXT])
            suspects.clear(epoch_no, seq)

    def _tell(self, code: str, message: str) -> None:
        logger.warning(message, code=code)
        self._record(code, message)

    def _record(self, code: str, message: str) -> None:
        """Something that operators should find in the device's history at the centre."""
        self._on_event(Event(time=self._clock.wall_ms(), code=code, message=message[:_TEXT]))


def _numbers(pairs: Ranges) -> set[int]:
    return {number for lo, hi in pairs for number in range(lo, hi + 1)}
