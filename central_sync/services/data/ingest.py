"""Taking uploads: verify, store, answer after the commit.

Rules here, SQL in the store. A batch is refused for good only when its own bytes are wrong; one whose
schema is unknown is left unacknowledged and named; one that is stored already is acknowledged again.
Where names come with other content they are named, and nothing of that upload is stored: the agent sends
the others again without them.
"""

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from pydantic import ValidationError

from central_sync.services.clock import Clock
from central_sync.services.data.accounting import head_problem
from central_sync.services.errors import Busy, Conflict, Invalid
from edge_agent.wire.batch import Batch, Kind, content_hash
from edge_agent.wire.errors import TooLarge, UnknownCodec, WireError
from edge_agent.wire.messages import Event, Head, Loss, LossReason, RejectCode, Rejection, UploadAnswer
from edge_agent.wire.ranges import Ranges
from edge_agent.wire.schema import Schema
from edge_agent.wire.upload import BatchItem, decode_upload

# Unpacked bytes of one upload that are looked at; the batches beyond stay unacknowledged and come again.
MAX_RAW_BYTES: Final = 32 << 20
# Unpacked bytes of all uploads in hand. Above, agents are asked to come back.
MAX_RAW_IN_HAND: Final = 256 << 20
# Opening more than this happens in a thread, so that no other request waits for it.
INLINE_RAW_BYTES: Final = 256 << 10
MAX_RECORDS: Final = 10_000
MAX_SAMPLES: Final = 1 << 32
MAX_LOSS_SAMPLES: Final = 1 << 48


@dataclass(frozen=True, slots=True)
class LossRecord:
    """A loss as it was sent. `reason` may be one that this build does not know."""

    reason: str
    loss: Loss

    @property
    def samples(self) -> int:
        return min(sum(max(0, connection.samples) for connection in self.loss.connections), MAX_LOSS_SAMPLES)


@dataclass(frozen=True, slots=True)
class Verified:
    """A batch whose bytes are what its name says. `samples` is counted, not taken from the upload."""

    item: BatchItem
    batch: Batch
    samples: int
    losses: tuple[LossRecord, ...] = ()
    events: tuple[Event, ...] = ()
    clocks: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Upload:
    device: str
    head: Head
    batches: list[Verified]
    arrived: int


@dataclass(slots=True)
class Receipt:
    """What the store did. `conflicts`: the seqs whose content differs; then nothing was stored."""

    acked: Ranges = field(default_factory=list)
    need_schemas: list[str] = field(default_factory=list)
    resend: Ranges = field(default_factory=list)
    conflicts: Ranges = field(default_factory=list)
    config_etag: str | None = None
    scripts_etag: str | None = None


class IngestStore(Protocol):
    @property
    def centre(self) -> str:
        """The id of this database, made when it was."""
        ...

    @property
    def load(self) -> float:
        """How full the writer's queue is, 0 to 1."""
        ...

    async def ingest(self, upload: Upload) -> Receipt:
        """Stores what is new, in one transaction, and returns after its commit. Raises Busy."""
        ...

    async def add_schema(self, device: str, schema: Schema) -> bool:
        """Whether it was new. Raises Conflict where the device has brought too many."""
        ...


class IngestService:
    def __init__(
        self,
        store: IngestStore,
        clock: Clock,
        threads: Executor,
        waiting: Callable[[str], int] = lambda _: 0,
    ) -> None:
        """waiting: how many commands wait for a device; asked in every answer."""
        self._waiting = waiting
        self._store = store
        self._clock = clock
        self._threads = threads
        self._raw_in_hand = 0

    async def upload(self, device: str, body: bytes) -> UploadAnswer:
        """Raises Invalid for what is no upload, Conflict for `seq_conflict`, Busy."""
        try:
            head, items = decode_upload(body)
        except WireError as error:
            raise Invalid("bad_upload", str(error)) from error
        problem = head_problem(head)
        if problem is not None:
            raise Invalid("bad_upload", problem)
        items = _within_budget(items)
        raw = sum(item.raw_bytes for item in items)
        if self._raw_in_hand + raw > MAX_RAW_IN_HAND and self._raw_in_hand:
            raise Busy("busy", "too many uploads at once")
        self._raw_in_hand += raw
        try:
            return await self._take(device, head, items, raw)
        finally:
            self._raw_in_hand -= raw

    async def _take(self, device: str, head: Head, items: list[BatchItem], raw: int) -> UploadAnswer:
        if raw > INLINE_RAW_BYTES:
            loop = asyncio.get_running_loop()
            batches, rejected = await loop.run_in_executor(self._threads, verify_all, items)
        else:
            batches, rejected = verify_all(items)
        receipt = await self._store.ingest(Upload(device, head, batches, self._clock.wall_ms()))
        if receipt.conflicts:
            first = receipt.conflicts[0][0]
            raise Conflict(
                "seq_conflict",
                f"batch {first} of epoch {head.epoch} is stored with other content",
                epoch=head.epoch,
                seq=first,
                conflicts=receipt.conflicts,
            )
        return UploadAnswer(
            centre=self._store.centre,
            epoch=head.epoch,
            acked=receipt.acked,
            need_schemas=receipt.need_schemas,
            rejected=rejected,
            resend=receipt.resend,
            send_interval=send_interval(self._store.load),
            config_etag=receipt.config_etag,
            scripts_etag=receipt.scripts_etag,
            commands_waiting=self._waiting(device),
        )

    async def put_schema(self, device: str, name: str, body: bytes) -> bool:
        """Whether the schema was new. Raises Invalid where `body` is not the schema of that name."""
        loop = asyncio.get_running_loop()
        try:
            schema = await loop.run_in_executor(self._threads, Schema.from_bytes, body)
        except WireError as error:
            raise Invalid("bad_schema", str(error)) from error
        if schema.hash != name or schema.canonical != body:
            raise Invalid("hash_mismatch", f"these bytes are not the schema {name}")
        return await self._store.add_schema(device, schema)


def send_interval(load: float) -> float | None:
    """Seconds between uploads to ask for; None: as often as the agent likes."""
    return None if load < 0.5 else 5.0 if load < 0.8 else 15.0


def _within_budget(items: list[BatchItem]) -> list[BatchItem]:
    total = 0
    for count, item in enumerate(items):
        total += item.raw_bytes
        if total > MAX_RAW_BYTES and count:
            return items[:count]
    return items


def verify_all(items: list[BatchItem]) -> tuple[list[Verified], list[Rejection]]:
    batches: list[Verified] = []
    rejected: list[Rejection] = []
    for item in items:
        try:
            batches.append(verify(item))
        except _Refused as error:
            rejected.append(Rejection(seq=item.seq, code=error.code, message=str(error)[:2000]))
    return batches, rejected


class _Refused(Exception):
    def __init__(self, code: RejectCode, message: str) -> None:
        super().__init__(message)
        self.code = code


def verify(item: BatchItem) -> Verified:
    if content_hash(item.body) != item.hash:
        raise _Refused(RejectCode.HASH_MISMATCH, "the body does not have the announced hash")
    try:
        batch = Batch.open(item.body, item.codec, item.raw_bytes)
        samples = _count_samples(batch)
        kind = batch.kind
        losses = _losses(batch) if Kind.LOSS in kind else ()
        events = _events(batch) if Kind.EVENT in kind else ()
        clocks = _clocks(batch) if Kind.CLOCK in kind else ()
    except TooLarge as error:
        raise _Refused(RejectCode.TOO_LARGE, str(error)) from error
    except UnknownCodec as error:
        raise _Refused(RejectCode.UNKNOWN_CODEC, str(error)) from error
    except (WireError, ValueError, TypeError, KeyError) as error:
        raise _Refused(RejectCode.MALFORMED, str(error)) from error
    return Verified(item, batch, samples, losses, events, clocks)


def _count_samples(batch: Batch) -> int:
    total = 0
    for entry in batch.sections:
        if entry["k"] == "frames":
            if any(held > read for _, read, held in entry["c"]):
                raise WireError("more samples are suppressed than were read")
            total += sum(frames * (read - held) for frames, read, held in entry["c"])
    if total > MAX_SAMPLES:
        raise WireError(f"a batch holds at most {MAX_SAMPLES} samples")
    return total


def _records(batch: Batch, kind: Kind) -> list[dict[str, Any]]:
    records = batch.records(kind)
    if len(records) > MAX_RECORDS:
        raise WireError(f"a batch holds at most {MAX_RECORDS} records")
    return records


def _losses(batch: Batch) -> tuple[LossRecord, ...]:
    return tuple(_loss(record) for record in _records(batch, Kind.LOSS))


def _loss(record: dict[str, Any]) -> LossRecord:
    """A newer agent may know more reasons than this build: its losses count all the same."""
    reason = str(record.get("reason", ""))[:64]
    known = reason in set(LossReason)
    return LossRecord(
        reason, Loss.model_validate(record if known else {**record, "reason": LossReason.QUOTA})
    )


def _events(batch: Batch) -> tuple[Event, ...]:
    """An event is information beside the data: one that cannot be read must not cost the batch."""
    found: list[Event] = []
    for record in _records(batch, Kind.EVENT):
        try:
            found.append(Event.model_validate(record))
        except ValidationError:
            text = str(record)[:200]
            found.append(Event(time=0, code="unreadable_event", message=text))
    return tuple(found)


def _clocks(batch: Batch) -> tuple[dict[str, Any], ...]:
    """As with events: what cannot be read corrects nothing, and costs nothing."""
    with contextlib.suppress(WireError):
        return tuple(_records(batch, Kind.CLOCK))
    return ()
