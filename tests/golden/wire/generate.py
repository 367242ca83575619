"""Writes the golden batches: for each shape a body and what it must be read as.

    python tests/golden/wire/generate.py [--force]

The files pin batch format 1: bodies that were once stored on a gateway must be readable for ever. A shape
that is new here gets its files; files that exist are never written again without --force, which is only
right while no agent of this format is in anybody's hands.
"""

import argparse
import json
import struct
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from edge_agent.wire.batch import FramesPart, Kind, Origin, RecordsPart, encode
from edge_agent.wire.codecs import Codec
from edge_agent.wire.frame import Frame, JsonValue, bitmap
from edge_agent.wire.quality import Quality, QualityRun, SourceRun, whole
from edge_agent.wire.schema import Order, Schema, TagSchema, ValueType
from edge_agent.wire.section import Layout
from edge_agent.wire.values import pack, read_value

HERE = Path(__file__).parent
ORIGIN = Origin("press-shop-01", "5f0c1e2d3b4a59687766554433221100", "00112233445566778899aabbccddeeff")
MONO = 86_400_123_456_789
WALL = 1_767_225_600_123
# Of a longer row the description has the SHA-256, and no values.
SHOWN_BYTES = 1_024


class Case(NamedTuple):
    """What to encode. `parts` are sealed in one batch at `wall_ms`."""

    parts: list[FramesPart | RecordsPart]
    codec: Codec = Codec.ZSTD
    origin: Origin = ORIGIN
    wall_ms: int = WALL


def frame(n: int, row: bytes, read: int, **more: Any) -> Frame:
    """A frame of a group polled every 500 ms whose cycles are not quite even."""
    mono = MONO + n * 500_000_000 + n * n * 1_237
    return Frame(n, mono, WALL + (mono - MONO) // 1_000_000, row, read, **more)


def schema(*tags: TagSchema, group: str = "fast", unit_id: int | None = 1) -> Schema:
    return Schema.of("press1", group, unit_id, tags)


def uint16(count: int, group: str = "fast") -> Schema:
    tags = [TagSchema(f"zone{index:02}", ValueType.UINT16, Order.ABCD) for index in range(1, count + 1)]
    return schema(*tags, group=group)


def words(*numbers: int) -> bytes:
    return struct.pack(f">{len(numbers)}H", *numbers)


def one_part(of: Schema, *frames: Frame, layout: Layout = Layout.ROWS) -> list[FramesPart | RecordsPart]:
    return [FramesPart(of, frames, layout)]


EXTREMES: dict[ValueType, tuple[int | float, ...]] = {
    ValueType.BOOL: (0, 1),
    ValueType.INT8: (-128, 127),
    ValueType.UINT8: (0, 255),
    ValueType.INT16: (-32_768, 32_767),
    ValueType.UINT16: (0, 65_535),
    ValueType.INT32: (-(1 << 31), (1 << 31) - 1),
    ValueType.UINT32: (0, (1 << 32) - 1),
    ValueType.INT64: (-(1 << 63), (1 << 63) - 1),
    ValueType.UINT64: (0, (1 << 64) - 1),
    ValueType.FLOAT32: (-12.5, 3.0e38),
    ValueType.FLOAT64: (-0.1, 1.7e308),
}


def every_type() -> Case:
    """Every fixed-size type in every order, at the ends of its range."""
    tags = [
        TagSchema(f"{type_}-{order}", type_, order)
        for type_ in EXTREMES
        for order in (Order if type_.size > 1 else (Order.DCBA,))
    ]
    made = schema(*tags)
    rows = [
        b"".join(pack(tag.type, tag.order, [EXTREMES[tag.type][end]]) for tag in made.tags) for end in (0, 1)
    ]
    return Case(one_part(made, *(frame(n, row, len(tags)) for n, row in enumerate(rows, 1))))


def arrays() -> Case:
    made = schema(
        TagSchema("curve", ValueType.FLOAT32, Order.CDAB, count=5),
        TagSchema("bits", ValueType.BOOL, count=9),
        TagSchema("totals", ValueType.UINT64, Order.BADC, count=2),
        TagSchema("single", ValueType.FLOAT32),
    )
    values: dict[str, list[float]] = {
        "curve": [0.5, 1.5, -2.5, 3.25, 1e6],
        "bits": [1, 0, 0, 1, 1, 1, 0, 0, 1],
        "totals": [1, 1 << 40],
        "single": [20.25],
    }
    row = b"".join(pack(tag.type, tag.order, values[tag.name]) for tag in made.tags)
    return Case(one_part(made, frame(1, row, 4), frame(2, bytes(len(row)), 4), layout=Layout.COLUMNS))


def texts() -> Case:
    made = schema(
        TagSchema("speed", ValueType.UINT16),
        TagSchema("lot", ValueType.STRING),
        TagSchema("recipe", ValueType.JSON),
    )
    return Case(
        one_part(
            made,
            frame(1, b"\x01\x00", 3, text=("", {"steps": [1, 2.5, None, True], "이름": "프레스"})),
            frame(2, b"\x02\x00", 3, text=("LOT-ä-7", None)),
            frame(3, b"\x03\x00", 1, present=bitmap([1, 0, 0]), text=(None, None), suppressed=0),
            frame(4, b"", 3, quality=whole(3, Quality.BAD_COMM)),
        )
    )


def only_texts() -> Case:
    made = schema(TagSchema("lot", ValueType.STRING), TagSchema("recipe", ValueType.JSON))
    return Case(one_part(made, frame(1, b"", 2, text=("A", [])), frame(2, b"", 2, text=("B", [[]]))))


def dense(layout: Layout) -> Case:
    made = schema(
        *(TagSchema(f"t{index}", ValueType.FLOAT32, Order.CDAB, scale=0.1, unit="°C") for index in range(5)),
        *(TagSchema(f"c{index}", ValueType.UINT16, enum=((0, "off"), (1, "on"))) for index in range(3)),
    )
    rows = [
        pack(ValueType.FLOAT32, Order.CDAB, [200.5 + n + index for index in range(5)])
        + pack(ValueType.UINT16, Order.DCBA, [n, 1, 0])
        for n in range(1, 8)
    ]
    return Case(one_part(made, *(frame(n, row, 8) for n, row in enumerate(rows, 1)), layout=layout))


def suppressed() -> Case:
    """Deadband: some tags of a frame are kept out, and whole cycles between frames."""
    return Case(
        one_part(
            uint16(10),
            frame(1, words(*range(10)), 10),
            frame(2, words(0, 0, 7, *[0] * 7), 10, suppressed=9, present=bitmap([0, 0, 1] + [0] * 7)),
            frame(3, words(5, *[0] * 8, 6), 30, suppressed=28, present=bitmap([1] + [0] * 8 + [1])),
            frame(4, b"", 10, suppressed=10, present=bytes(2)),
        )
    )


def qualities() -> Case:
    """Each quality, with and without a value, with status codes, over one tag and over all."""
    runs = (
        QualityRun(0, 1, Quality.UNCERTAIN, null=False, status=0x40920000),
        QualityRun(1, 2, Quality.BAD_DEVICE, null=True, status=0x808B0000),
        QualityRun(3, 1, Quality.GOOD, null=True),
        QualityRun(5, 1, Quality.BAD_HOOK, null=False),
        QualityRun(6, 1, Quality.STALE, null=False),
        QualityRun(7, 3, Quality.BAD_VALUE),
    )
    bad_value = (QualityRun(0, 1, Quality.BAD_VALUE),)
    return Case(
        one_part(
            uint16(10),
            frame(1, words(1, 0, 0, 0, 5, 6, 7, 0, 0, 0), 10, quality=runs),
            frame(2, b"", 10, quality=whole(10, Quality.BAD_COMM, 0x800A0000)),
            frame(3, words(*range(10)), 10),
            frame(4, b"", 10, quality=whole(10, Quality.BAD_CONFIG)),
            frame(5, words(0, 2, *[0] * 8), 2, present=bitmap([1, 1] + [0] * 8), quality=bad_value),
        )
    )


def quality_of_dense_rows() -> Case:
    runs = (QualityRun(0, 2, Quality.BAD_DEVICE), QualityRun(3, 1, Quality.UNCERTAIN, null=False))
    return Case(
        one_part(uint16(4), frame(1, words(0, 0, 3, 4), 4, quality=runs), frame(2, words(1, 2, 3, 4), 4))
    )


def source_times() -> Case:
    first, second = frame(1, words(1, 2, 3, 4), 4), frame(2, words(5, 6, 7, 8), 4)
    first.source = (SourceRun(0, 1, first.wall_ms - 20), SourceRun(1, 2, first.wall_ms + 3))
    second.source = (SourceRun(3, 1, -11_644_473_600_000),)
    return Case(one_part(uint16(4), first, second))


def gaps_and_a_clock_step() -> Case:
    """Numbers with holes (a batch split, frames lost), and a wall clock set back a day between two."""
    made = uint16(2)
    numbers = [7, 8, 9, 12, 13, 4_000_000_000]
    frames = [frame(7 + index, words(index, n & 0xFFFF), 2) for index, n in enumerate(numbers)]
    for n, each in zip(numbers, frames, strict=True):
        each.n = n
    for each in frames[3:]:
        each.wall_ms -= 86_400_000
    frames[5].read, frames[5].suppressed = 9, 7
    return Case(one_part(made, *frames))


def records() -> Case:
    group = {"name": "press1", "group": "fast", "run": ORIGIN.run, "n": [[1, 60]], "samples": 600}
    loss = {
        "reason": "quota", "sink": "central", "epoch": "e1", "seqs": [[4, 9], [12, 12]],
        "connections": [group],
        "t0": WALL - 60_000, "t1": WALL, "exact": True, "max": None, "detail": "",
    }  # fmt: skip
    event = {
        "time": WALL,
        "code": "connection_down",
        "message": "연결 끊김",
        "connection": "press1",
        "data": {},
    }
    clock = {"mono_ns": MONO, "wall_ms": WALL, "sync": True, "offset_ms": -1.25}
    return Case(
        [
            RecordsPart(Kind.LOSS, [loss]),
            RecordsPart(Kind.EVENT, [event, {**event, "code": "connection_up"}]),
            RecordsPart(Kind.CLOCK, [clock]),
        ]
    )


def several_sections() -> Case:
    """Groups of different element sizes side by side, one of them twice, records between them."""
    small, wide = (
        uint16(3, "small"),
        schema(TagSchema("x", ValueType.FLOAT64), TagSchema("y", ValueType.INT8)),
    )
    rows = [pack(ValueType.FLOAT64, Order.DCBA, [n / 4]) + bytes([n]) for n in range(3)]
    return Case(
        [
            FramesPart(small, [frame(1, words(1, 2, 3), 3)]),
            RecordsPart(Kind.EVENT, [{"time": WALL, "code": "start", "message": ""}]),
            FramesPart(wide, [frame(n, row, 2) for n, row in enumerate(rows, 1)], Layout.COLUMNS),
            FramesPart(
                small, [frame(2, b"", 3, quality=whole(3, Quality.BAD_COMM)), frame(3, words(4, 5, 6), 3)]
            ),
        ]
    )


def huge_frame() -> Case:
    """More elements than a section of many frames has, in one frame of single tags and arrays."""
    singles = [TagSchema(f"t{index}", ValueType.UINT16, Order.ABCD) for index in range(1_000)]
    curves = [TagSchema(f"curve{index}", ValueType.UINT16, Order.ABCD, count=4_096) for index in range(16)]
    made = schema(*singles, *curves, group="huge")
    row = words(*(index // 40 for index in range(made.row_bytes // 2)))
    return Case(one_part(made, frame(1, row, len(made.tags))))


def codec(number: Codec) -> Case:
    made = uint16(50)
    rows = [words(*(1_000 + (n * index) % 17 for index in range(50))) for n in range(4)]
    return Case(one_part(made, *(frame(n, row, 50) for n, row in enumerate(rows, 1))), number)


def plain_names() -> Case:
    """Identities that are not 32 hexadecimal digits, and one that is, in capitals."""
    origin = Origin("압연-라인", "run-1", "00112233445566778899AABBCCDDEEFF")
    return Case(one_part(uint16(1), frame(1, words(1), 1)), origin=origin)


CASES = {
    "every-type-and-order": every_type(),
    "arrays": arrays(),
    "texts-and-structures": texts(),
    "only-texts": only_texts(),
    "dense-rows": dense(Layout.ROWS),
    "dense-columns": dense(Layout.COLUMNS),
    "suppressed-by-deadband": suppressed(),
    "qualities-and-status-codes": qualities(),
    "quality-of-dense-rows": quality_of_dense_rows(),
    "source-times": source_times(),
    "gaps-and-a-clock-step": gaps_and_a_clock_step(),
    "loss-event-clock": records(),
    "several-sections": several_sections(),
    "huge-frame": huge_frame(),
    "codec-none": codec(Codec.NONE),
    "codec-zstd": codec(Codec.ZSTD),
    "codec-deflate": codec(Codec.DEFLATE),
    "plain-names": plain_names(),
    "no-section": Case([]),
}


# --- descriptions --------------------------------------------------------------------------------------


def describe_frame(of: Schema, each: Frame) -> dict[str, Any]:
    """A frame as JSON. `values` are there for people and other readers; bytes are hexadecimal."""
    result: dict[str, Any] = {
        "n": each.n,
        "mono_ns": each.mono_ns,
        "wall_ms": each.wall_ms,
        "row": each.row.hex() if len(each.row) <= SHOWN_BYTES else sha256(each.row).hexdigest(),
        "read": each.read,
        "suppressed": each.suppressed,
        "present": None if each.present is None else each.present.hex(),
        "text": None if each.text is None else list(each.text),
        "quality": [[run.first, run.count, run.quality.label, run.null, run.status] for run in each.quality],
        "source": [list(run) for run in each.source],
    }
    if 0 < len(each.row) <= SHOWN_BYTES:
        result["values"] = dict(_values(of, each.row))
    return result


def _values(of: Schema, row: bytes) -> Iterator[tuple[str, JsonValue]]:
    for tag, start in zip(of.tags, of.edges[:-1], strict=False):
        yield tag.name, read_value(tag, row[start : start + tag.row_bytes])


def describe_part(part: FramesPart | RecordsPart) -> dict[str, Any]:
    if isinstance(part, RecordsPart):
        return {"kind": (part.kind.name or "").lower(), "records": list(part.records)}
    return {
        "kind": "frames",
        "schema_hash": part.schema.hash,
        "schema": part.schema.canonical.decode(),
        "frames": [describe_frame(part.schema, each) for each in part.frames],
    }


def files(case: Case) -> tuple[bytes, str]:
    """The body and its description."""
    sealed = encode(case.origin, case.parts, case.wall_ms, case.codec)
    description = {
        "codec": int(sealed.codec),
        "raw_bytes": sealed.raw_bytes,
        "hash": sealed.hash.hex(),
        "kind": int(sealed.kind),
        "samples": sealed.samples,
        "t0": sealed.t0,
        "t1": sealed.t1,
        "origin": [case.origin.device, case.origin.run, case.origin.boot],
        "sections": [describe_part(part) for part in case.parts],
    }
    return sealed.body, json.dumps(description, ensure_ascii=False, indent=1) + "\n"


def write(folder: Path, force: bool) -> list[str]:
    """Writes the cases that have no files, with `force` all. Returns the names of those that were kept."""
    kept: list[str] = []
    for name, case in CASES.items():
        body_path, text_path = folder / f"{name}.bin", folder / f"{name}.json"
        if (body_path.exists() or text_path.exists()) and not force:
            kept.append(name)
            continue
        body, text = files(case)
        body_path.write_bytes(body)
        text_path.write_text(text, encoding="utf-8")
    return kept


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the golden batches that are not there yet.")
    parser.add_argument("--force", action="store_true", help="write also those that exist")
    kept = write(HERE, parser.parse_args().force)
    if kept:
        print(f"kept, because they pin batch format 1: {', '.join(kept)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
