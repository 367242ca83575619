"""An agent's side of the wire for the centre's tests: real batches, heads and heartbeats, no network."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from edge_agent.wire.batch import FramesPart, Kind, Origin, RecordsPart, encode
from edge_agent.wire.frame import Frame, bitmap
from edge_agent.wire.messages import Head, Heartbeat
from edge_agent.wire.quality import QualityRun
from edge_agent.wire.schema import Order, Schema, TagSchema, ValueType
from edge_agent.wire.upload import BatchItem, encode_upload
from edge_agent.wire.values import pack

T0 = 1_800_000_000_000


def uint16_schema(connection: str = "press1", group: str = "fast", tags: int = 3, unit: str = "°C") -> Schema:
    names = [f"t{index}" for index in range(tags)]
    return Schema.of(
        connection, group, 1, [TagSchema(n, ValueType.UINT16, scale=0.1, unit=unit) for n in names]
    )


def row(values: Sequence[int]) -> bytes:
    return pack(ValueType.UINT16, Order.DCBA, values)


def frame(
    n: int,
    values: Sequence[int],
    wall_ms: int | None = None,
    present: Sequence[int] | None = None,
    quality: tuple[QualityRun, ...] = (),
) -> Frame:
    """A frame of uint16 tags; `present`: which of them it holds."""
    wall = T0 + n * 1000 if wall_ms is None else wall_ms
    held = len(values) if present is None else sum(present)
    shown = None if present is None or all(present) else bitmap(list(present))
    return Frame(n, n * 10**9, wall, row(values), held, present=shown, quality=quality)


@dataclass
class Edge:
    """One epoch of one agent's buffer. `floor` and `next` are its head, moved by hand or by `make`."""

    device: str = "dev-1"
    epoch: str = "epoch-a"
    no: int = 1
    run: str = "run-a"
    schema: Schema = field(default_factory=uint16_schema)
    floor: int = 1
    next: int = 1
    n: int = 0
    term: int | None = None

    def head(self, **changes: Any) -> Head:
        fields = {
            "epoch": self.epoch, "no": self.no, "run": self.run, "boot": "boot", "floor": self.floor,
            "next": self.next, "now": T0, "sync": True, "term": self.term,
        }  # fmt: skip
        return Head(**{**fields, **changes})

    def seal(
        self, parts: Sequence[FramesPart | RecordsPart], seq: int | None = None, wall_ms: int = T0
    ) -> BatchItem:
        """A named batch; without `seq` the next one."""
        if seq is None:
            seq, self.next = self.next, self.next + 1
        made = encode(Origin(self.device, self.run, "boot"), parts, wall_ms)
        return BatchItem(
            seq,
            int(made.kind),
            made.codec,
            made.raw_bytes,
            made.samples,
            made.t0,
            made.t1,
            made.hash,
            made.body,
        )

    def make(
        self, values: Sequence[int] = (1, 2, 3), wall_ms: int | None = None, seq: int | None = None
    ) -> BatchItem:
        """A batch with one frame."""
        self.n += 1
        return self.seal([FramesPart(self.schema, [frame(self.n, values, wall_ms)])], seq)

    def losing(self, seqs: list[tuple[int, int]], **changes: Any) -> BatchItem:
        """A batch with one loss record of this epoch."""
        record = {
            "reason": "quota", "epoch": self.epoch, "seqs": seqs, "t0": T0, "t1": T0,
            "connections": [{"name": "press1", "group": "fast", "run": self.run, "samples": 3}],
            **changes,
        }  # fmt: skip
        return self.seal([RecordsPart(Kind.LOSS, [record])])

    def upload(self, *items: BatchItem, head: Head | None = None) -> bytes:
        return encode_upload(head or self.head(), items)

    def heartbeat(self, **changes: Any) -> bytes:
        fields: dict[str, Any] = {
            "now": T0, "version": "1.2.3", "protocol": 1, "run": self.run, "boot": "boot",
            "machine": "machine", "uptime_seconds": 5.0, "heads": [self.head()],
        }  # fmt: skip
        return Heartbeat(**{**fields, **changes}).model_dump_json().encode()
