import math
import struct
import sys
from types import FrameType
from typing import Any

import pytest

from edge_agent.config.models import Deadband
from edge_agent.contracts.driver import Reading
from edge_agent.pipeline.errors import BadReading
from edge_agent.pipeline.group import Counts, FrameCounters, Group, GroupRules
from edge_agent.wire import batch
from edge_agent.wire.batch import Batch, FramesPart, Origin
from edge_agent.wire.frame import Frame, selection
from edge_agent.wire.quality import Quality, QualityRun, whole
from edge_agent.wire.schema import Schema, TagSchema, ValueType
from edge_agent.wire.section import Layout
from tests.unit.pipeline.plant import FakePlan, FakeSink

SECOND = 1_000_000_000
MINUTE = 60 * SECOND


class Bench:
    def __init__(self, *tags: TagSchema, **bands: Deadband) -> None:
        self.schema = Schema.of("plc", "g", 1, tags)
        self.sink = FakeSink()
        self.counters = FrameCounters()
        self.counts = Counts()
        self.group = self.reload(**bands)

    def reload(self, **bands: Deadband) -> Group:
        self.group = Group(GroupRules.of(FakePlan(self.schema), bands), self.counters, self.counts, self.sink)
        return self.group

    @property
    def frames(self) -> list[Frame]:
        return [frame for _, frame in self.sink.frames]

    def take(self, second: float, row: bytes, text: Any = None, quality: Any = ()) -> None:
        self.group.take(Reading(row, text, quality), round(second * SECOND), round(second * 1000))

    def nothing(self, second: float, quality: Quality = Quality.BAD_COMM) -> None:
        self.group.take_nothing(quality, round(second * SECOND), round(second * 1000))

    def check(self) -> None:
        left = self.counters.of("plc", "g")
        assert self.counts.read == self.counts.suppressed + self.counts.framed
        assert self.counts.read == sum(frame.read for frame in self.frames) + left.read
        assert self.counts.suppressed == sum(frame.suppressed for frame in self.frames) + left.suppressed

    def latest(self, fresh_since_ns: int = 0) -> list[tuple[Any, str, int]]:
        return [(value.value, value.quality, value.time) for value in self.group.latest(fresh_since_ns)]


def words(*names: str) -> list[TagSchema]:
    return [TagSchema(name, ValueType.UINT16) for name in names]


def u16(*numbers: int) -> bytes:
    return struct.pack(f"<{len(numbers)}H", *numbers)


# --- what a frame is -----------------------------------------------------------------------------


def test_a_plain_row_becomes_a_frame_as_it_is() -> None:
    bench = Bench(*words("a", "b"))
    row = u16(1, 2)
    bench.take(1, row)
    bench.take(2, u16(3, 4))
    assert bench.frames[0].row is row
    assert [(frame.n, frame.read, frame.suppressed, frame.present) for frame in bench.frames] == [
        (1, 2, 0, None),
        (2, 2, 0, None),
    ]
    bench.check()


def test_the_way_of_a_plain_row_does_no_work_that_grows_with_its_tags() -> None:
    """Counts the lines that run rather than time: the same number for one tag and for a thousand."""

    def lines(tags: int) -> int:
        bench = Bench(*words(*(f"t{number}" for number in range(tags))))
        bench.take(0, bytes(2 * tags))
        steps = 0

        def trace(frame: FrameType, event: str, _: object) -> Any:
            nonlocal steps
            # Others' code may run at any moment: what watches the garbage collector, for one.
            if "edge_agent" not in frame.f_code.co_filename:
                return None
            steps += event == "line"
            return trace

        reading = Reading(bytes(2 * tags))
        before = sys.gettrace()
        sys.settrace(trace)
        try:
            bench.group.take(reading, SECOND, 1000)
        finally:
            sys.settrace(before)
        return steps

    counted = [lines(1), lines(1000)]
    assert counted[0] == counted[1] > 10


def test_a_null_tag_among_good_ones_goes_into_every_frame() -> None:
    bench = Bench(*words("a", "b"))
    quality = (QualityRun(1, 1, Quality.BAD_CONFIG),)
    for second in range(3):
        bench.take(second, u16(5, 0), quality=quality)
    assert [frame.quality for frame in bench.frames] == [quality] * 3
    assert bench.latest() == [(5, "good", 2000), (None, "bad_config", 2000)]


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_nan_and_infinity_become_a_quality_and_never_a_value(number: float) -> None:
    bench = Bench(TagSchema("a", ValueType.FLOAT32), TagSchema("b", ValueType.FLOAT32))
    bench.take(1, struct.pack("<2f", number, 2.5))
    assert bench.frames[0].row == struct.pack("<2f", 0, 2.5)
    assert bench.frames[0].quality == (QualityRun(0, 1, Quality.BAD_VALUE),)
    assert bench.latest() == [(None, "bad_value", 1000), (2.5, "good", 1000)]


def test_a_structure_with_nan_becomes_null() -> None:
    bench = Bench(TagSchema("s", ValueType.JSON))
    bench.take(1, b"", ({"x": math.nan},))
    assert bench.frames[0].text == (None,)
    assert bench.latest() == [(None, "bad_value", 1000)]


# --- honest counts -------------------------------------------------------------------------------


def test_what_the_deadband_suppresses_is_reported_by_the_next_frame() -> None:
    bench = Bench(*words("a", "b"), a=Deadband(on_change=True), b=Deadband(on_change=True))
    for second, row in enumerate([u16(1, 1), u16(1, 1), u16(1, 1), u16(1, 2)]):
        bench.take(second, row)
        bench.check()
    first, second_frame = bench.frames
    assert (first.read, first.suppressed) == (2, 0)
    assert (second_frame.read, second_frame.suppressed, second_frame.samples) == (6, 5, 1)
    assert selection(second_frame.present, 2) == [0, 1]


def test_numbers_and_unreported_counts_go_on_across_a_reload() -> None:
    bench = Bench(*words("a"), a=Deadband(on_change=True))
    for second in range(3):
        bench.take(second, u16(1))
    bench.reload(a=Deadband(on_change=True))
    bench.take(3, u16(1))
    assert [(frame.n, frame.read, frame.suppressed) for frame in bench.frames] == [(1, 1, 0), (2, 3, 2)]
    bench.check()


def test_groups_of_one_name_in_two_connections_have_numbers_of_their_own() -> None:
    counters = FrameCounters()
    counters.of("one", "g").frames = 5
    assert counters.of("two", "g").frames == 0
    assert counters.of("one", "g").frames == 5


# --- bad periods ---------------------------------------------------------------------------------


def test_a_group_that_cannot_be_read_says_so_at_once_and_then_once_a_minute() -> None:
    bench = Bench(*words("a", "b"))
    for second in range(121):
        bench.nothing(second)
    assert [frame.wall_ms for frame in bench.frames] == [0, 60_000, 120_000]
    assert {frame.quality for frame in bench.frames} == {whole(2, Quality.BAD_COMM)}
    assert {frame.row for frame in bench.frames} == {b""}
    assert bench.latest() == [(None, "bad_comm", 120_000)] * 2
    bench.check()


def test_unanswered_reads_and_cycles_that_were_not_tried_are_one_bad_period() -> None:
    bench = Bench(*words("a", "b"))
    for second in range(30):
        if second % 3:
            bench.nothing(second)
        else:
            bench.take(second, b"", quality=whole(2, Quality.BAD_COMM))
    assert len(bench.frames) == 1


def test_a_bad_period_of_another_reason_is_said_at_once() -> None:
    bench = Bench(*words("a"))
    bench.nothing(0)
    bench.nothing(1, Quality.BAD_DEVICE)
    bench.nothing(2, Quality.BAD_DEVICE)
    assert [frame.quality[0].quality for frame in bench.frames] == [Quality.BAD_COMM, Quality.BAD_DEVICE]


def test_the_way_back_to_good_is_visible_and_so_is_the_next_fall() -> None:
    bench = Bench(*words("a", "b"), a=Deadband(on_change=True), b=Deadband(on_change=True, min_interval="1h"))
    bench.take(0, u16(7, 8))
    bench.nothing(1)
    bench.take(2, u16(7, 8))
    bench.nothing(3)
    bench.take(4, u16(7, 8))
    assert [frame.samples for frame in bench.frames] == [2] * 5
    assert [bool(frame.quality) for frame in bench.frames] == [False, True, False, True, False]
    bench.check()


def test_telegraf_10849_the_last_good_value_is_not_shown_when_the_unit_is_away() -> None:
    bench = Bench(*words("a"), TagSchema("s", ValueType.STRING))
    bench.take(1, u16(7), ("x",))
    bench.nothing(2)
    assert bench.latest() == [(None, "bad_comm", 2000)] * 2
    assert bench.frames[-1].text == (None,)


def test_tb_1990_a_value_that_was_not_renewed_is_shown_as_stale_with_its_own_time() -> None:
    bench = Bench(*words("a", "b"))
    bench.take(10, u16(7, 0), quality=(QualityRun(1, 1, Quality.BAD_CONFIG),))
    assert bench.latest(10 * SECOND)[0] == (7, "good", 10_000)
    assert bench.latest(10 * SECOND + 1) == [(7, "stale", 10_000), (None, "bad_config", 10_000)]


def test_an_uncertain_value_that_was_not_renewed_is_stale_and_not_uncertain() -> None:
    bench = Bench(*words("a", "b"))
    doubtful = (QualityRun(0, 1, Quality.UNCERTAIN, null=False),)
    bench.take(10, u16(7, 8), quality=doubtful)
    assert [quality for _, quality, _ in bench.latest(10 * SECOND)] == ["uncertain", "good"]
    assert [quality for _, quality, _ in bench.latest(11 * SECOND)] == ["stale", "stale"]


def test_nothing_is_shown_before_the_first_read() -> None:
    assert Bench(*words("a")).latest() == []


def test_latest_shows_engineering_values_that_the_deadband_suppressed() -> None:
    tag = TagSchema("a", ValueType.INT16, scale=-0.1, offset=5.0, unit="°C")
    bench = Bench(tag, a=Deadband(absolute=10))
    bench.take(0, u16(10))
    bench.take(1, u16(20))
    assert len(bench.frames) == 1
    assert bench.latest() == [(3.0, "good", 1000)]


# --- readings that no schema can mean --------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "text", "quality"),
    [
        pytest.param(b"\x01\x02\x03", ("x",), (), id="a row of another length"),
        pytest.param(b"", ("x",), (), id="no row, and nothing says why"),
        pytest.param(b"", ("x",), (QualityRun(0, 1, Quality.BAD_COMM),), id="one tag without bytes"),
        pytest.param(b"", ("x",), (QualityRun(0, 2, Quality.UNCERTAIN, False),), id="values without bytes"),
        pytest.param(u16(1, 2), None, (), id="no text"),
        pytest.param(u16(1, 2), ("x", "y"), (), id="too many texts"),
        pytest.param(u16(1, 2), ("x",), (QualityRun(2, 2, Quality.BAD_COMM),), id="quality beyond the tags"),
        pytest.param(
            u16(1, 2),
            ("x",),
            (QualityRun(1, 1, Quality.BAD_COMM), QualityRun(0, 2, Quality.BAD_COMM)),
            id="quality twice",
        ),
    ],
)
def test_a_reading_that_contradicts_its_schema_gets_into_no_batch(
    row: bytes, text: Any, quality: Any
) -> None:
    bench = Bench(*words("a", "b"), TagSchema("s", ValueType.STRING))
    with pytest.raises(BadReading, match=r"plc\.g"):
        bench.take(0, row, text, quality)
    assert bench.frames == []
    assert bench.counters.of("plc", "g").frames == 0
    bench.check()


def test_frames_of_every_kind_come_back_from_a_batch_as_they_were() -> None:
    bench = Bench(
        TagSchema("f", ValueType.FLOAT32), *words("a", "b"), TagSchema("s", ValueType.STRING),
        a=Deadband(on_change=True), s=Deadband(on_change=True),
    )  # fmt: skip
    rows = [struct.pack("<f2H", *values) for values in [(1, 2, 3), (math.nan, 2, 4), (2, 3, 4)]]
    bench.take(0, rows[0], ("x",))
    bench.take(1, rows[1], ("x",))
    bench.nothing(2)
    bench.take(3, rows[2], ("y",), (QualityRun(2, 1, Quality.BAD_CONFIG),))
    sealed = batch.encode(
        Origin("dev", "run", "boot"), [FramesPart(bench.schema, bench.frames, Layout.ROWS)], 5000
    )
    opened = Batch.open(sealed.body, sealed.codec, sealed.raw_bytes)
    assert sealed.samples == bench.counts.framed
    assert opened.contents()[bench.schema.hash] == ([(1, 4)], bench.counts.framed)
