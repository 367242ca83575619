"""The newest sample of each tag of one (device, schema): a read model, rebuilt from batches.

A value moves by (term, epoch number, epoch, seq, frame), never by time. A whole frame moves all tags at once
and is kept as it came; samples of partial frames that are newer stand beside it, tag by tag. Nothing is
decoded to values before somebody looks.
"""

import base64
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from central_sync.services.data import samples
from central_sync.services.data.samples import Sample
from edge_agent.wire.frame import Frame
from edge_agent.wire.quality import Quality, QualityRun
from edge_agent.wire.schema import Schema


class Key(NamedTuple):
    """The order of everything a device has said. `opened` decides between epochs of one number."""

    term: int
    ordinal: int
    opened: int
    seq: int
    n: int


FIRST = Key(-1, -1, -1, -1, -1)


@dataclass(slots=True)
class Slot:
    """Latest samples of one schema. `key` is the newest of all, `published` the newest shown live."""

    schema: Schema
    base_key: Key = FIRST
    base: Frame | None = None
    newer: dict[int, tuple[Key, Sample]] = field(default_factory=dict)
    key: Key = FIRST
    published: Key = FIRST

    def move(self, at: Key, frames: list[Frame]) -> None:
        """Takes the frames of one section, ascending; `at.n` is not used."""
        whole = next((f for f in reversed(frames) if f.present is None), None)
        if whole is not None:
            self._move_all(at._replace(n=whole.n), whole)
        for frame in frames:
            key = at._replace(n=frame.n)
            if frame.present is not None and key > self.base_key:
                self._move_some(key, frame)
        self.key = max(self.key, at._replace(n=frames[-1].n))

    def _move_all(self, key: Key, frame: Frame) -> None:
        if key <= self.base_key:
            return
        self.base_key, self.base = key, frame
        if self.newer:
            self.newer = {tag: known for tag, known in self.newer.items() if known[0] > key}

    def _move_some(self, key: Key, frame: Frame) -> None:
        for index in samples.present_tags(frame, len(self.schema.tags)):
            known = self.newer.get(index)
            if known is None or key > known[0]:
                self.newer[index] = (key, samples.sample(self.schema, frame, index))

    def find(self, index: int) -> tuple[Key, Sample] | None:
        known = self.newer.get(index)
        if known is not None or self.base is None:
            return known
        return self.base_key, samples.sample(self.schema, self.base, index)

    def tags(self) -> list[int]:
        """The tags that have a sample."""
        return sorted(self.newer) if self.base is None else list(range(len(self.schema.tags)))

    def copy(self) -> "Slot":
        """For another thread; frames and samples are never altered and therefore shared."""
        return Slot(self.schema, self.base_key, self.base, dict(self.newer), self.key, self.published)

    def item(self, index: int) -> dict[str, Any] | None:
        """The latest value as the API shows it."""
        found = self.find(index)
        if found is None:
            return None
        tag = self.schema.tags[index]
        return {
            "connection": self.schema.connection,
            "group": self.schema.group,
            "tag": tag.name,
            "value": samples.value(self.schema, index, found[1]),
            "quality": found[1].quality.label,
            "time": found[1].wall_ms,
            "unit": tag.unit,
        }


def _text(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)


def dump(slot: Slot) -> bytes:
    """A slot for the checkpoint."""
    base = slot.base
    return orjson.dumps(
        {
            "key": tuple(slot.key),
            "base_key": tuple(slot.base_key),
            "base": base
            and {
                "wall": base.wall_ms,
                "row": _text(base.row),
                "text": base.text,
                "quality": [[q.first, q.count, int(q.quality), q.null, q.status] for q in base.quality],
            },
            "newer": [
                [tag, tuple(key), s.wall_ms, _text(s.data), s.text, int(s.quality), s.status]
                for tag, (key, s) in slot.newer.items()
            ],
        }
    )


def load(schema: Schema, data: bytes) -> Slot:
    """What `dump` wrote."""
    value = orjson.loads(data)
    base_key = Key(*value["base_key"])
    base = value["base"]
    frame = None
    if base is not None:
        runs = tuple(QualityRun(a, b, Quality(q), null, status) for a, b, q, null, status in base["quality"])
        text = None if base["text"] is None else tuple(base["text"])
        row = _bytes(base["row"]) or b""
        frame = Frame(base_key.n, 0, base["wall"], row, 0, text=text, quality=runs)
    newer = {
        tag: (Key(*key), Sample(wall, _bytes(cell), text, Quality(quality), status))
        for tag, key, wall, cell, text, quality, status in value["newer"]
    }
    key = Key(*value["key"])
    return Slot(schema, base_key, frame, newer, key, key)
