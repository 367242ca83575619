"""The judge of what hooks made sees what it is there for: doctored frames, one fault each."""

import re
from collections.abc import Callable
from dataclasses import replace
from struct import pack

import pytest

from edge_agent.wire.frame import Frame
from edge_agent.wire.quality import Quality, QualityRun
from edge_agent.wire.schema import Order, Schema, TagSchema, ValueType
from tests.crash.hook_judge import TAGS, Stored, complaints
from tests.crash.judge import expected_block

TICK = 1_000_000
RAW = Schema.of(
    "plc", "all", 1, [TagSchema(f"t{index}", ValueType.UINT16, Order.ABCD) for index in range(TAGS)]
)
HOOKED = Schema.of(
    "plc", "all", 1,
    [
        TagSchema("count", ValueType.UINT64),
        *(TagSchema(f"t{index}", ValueType.UINT32) for index in range(TAGS)),
        *(TagSchema(f"t{index}.raw", ValueType.UINT16, Order.ABCD) for index in range(TAGS)),
    ],
    ("counted@0123456789abcdef",),
)  # fmt: skip
MARKED = (QualityRun(0, TAGS, Quality.BAD_HOOK, null=False),)


def polled(n: int) -> list[int]:
    return list(expected_block(0, TAGS, TICK + n // 10))


def raw(n: int, quality: tuple[QualityRun, ...] = MARKED) -> Stored:
    row = pack(f">{TAGS}H", *polled(n))
    return Stored("r1", RAW, Frame(n, n, 1000 * TICK + 100 * n, row, TAGS, quality=quality))


def hooked(n: int, count: int) -> Stored:
    values = polled(n)
    row = pack("<Q10I", count, *(2 * value + 1 for value in values)) + pack(f">{TAGS}H", *values)
    return Stored("r1", HOOKED, Frame(n, n, 1000 * TICK + 100 * n, row, 2 * TAGS + 1))


def sound() -> list[Stored]:
    """Frame 3 went on as it was, as when its worker is killed."""
    return [hooked(1, 1), hooked(2, 2), raw(3), hooked(4, 3)]


def test_what_is_sound_has_no_complaint() -> None:
    assert complaints(sound()) == []


def test_a_second_run_goes_on_with_the_state_and_begins_with_its_numbers() -> None:
    again = replace(hooked(1, 4), run="r2")
    assert complaints([*sound(), again]) == []


FAULTS: dict[str, tuple[Callable[[list[Stored]], object], str]] = {
    "lost": (lambda frames: frames.pop(1), "3 follows 1"),
    "doubled": (lambda frames: frames.insert(1, raw(1)), "1 follows 1"),
    "disordered": (lambda frames: frames.insert(2, frames.pop(1)), "3 follows 1"),
    "not marked": (lambda frames: frames.__setitem__(2, raw(3, ())), "not marked"),
    "marked in part": (
        lambda frames: frames.__setitem__(2, raw(3, (MARKED[0]._replace(first=1, count=9),))),
        r"made \['t0'\]",
    ),
    "hooked twice": (lambda frames: frames.__setitem__(1, hooked(2, 3)), "count is 3 after 1"),
    "state lost": (lambda frames: frames.__setitem__(3, hooked(4, 1)), "count is 1 after 2"),
    "without its value": (
        lambda frames: frames.__setitem__(
            2, raw(3, (QualityRun(0, 1, Quality.BAD_HOOK), QualityRun(1, 9, Quality.BAD_HOOK, null=False)))
        ),
        "never polled",
    ),
    "another frame's values": (
        lambda frames: frames.__setitem__(3, replace(frames[3], frame=replace(frames[3].frame, wall_ms=0))),
        "never polled",
    ),
    "another sum": (
        lambda frames: frames.__setitem__(2, replace(frames[2], frame=replace(frames[2].frame, read=11))),
        "10 samples, and it says 11",
    ),
    "another output": (
        lambda frames: frames.__setitem__(
            1, replace(frames[1], frame=replace(frames[1].frame, row=_with_first_output(frames[1], 8)))
        ),
        "t0 is",
    ),
}  # fmt: skip


def _with_first_output(stored: Stored, value: int) -> bytes:
    row = bytearray(stored.frame.row)
    row[8:12] = value.to_bytes(4, "little")
    return bytes(row)


@pytest.mark.parametrize("name", FAULTS)
def test_it_sees(name: str) -> None:
    doctor, verdict = FAULTS[name]
    frames = sound()
    doctor(frames)
    assert re.search(verdict, "\n".join(complaints(frames)))
