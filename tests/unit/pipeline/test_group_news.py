"""What a subscription brings becomes frames: each change once, sums exact, nothing stamped anew."""

import struct

import pytest

from edge_agent.config.models import Deadband
from edge_agent.config.units import Seconds
from edge_agent.contracts.driver import Part, Reading
from edge_agent.drivers.packing import MISSING, ChangeLog
from edge_agent.pipeline.errors import BadReading
from edge_agent.wire.frame import selection
from edge_agent.wire.quality import Quality
from edge_agent.wire.schema import TagSchema, ValueType
from tests.unit.pipeline.test_group import SECOND, Bench, words


class Live(Bench):
    """A bench whose group is fed by a change log."""

    def __init__(self, *tags: TagSchema, **bands: Deadband) -> None:
        super().__init__(*tags, **bands)
        self.log = ChangeLog(self.schema, 1_000)

    def drain(self, second: float) -> None:
        self.group.take(self.log.take(), round(second * SECOND), round(second * 1000))


def test_each_change_is_in_one_frame_and_the_others_are_not_said_again() -> None:
    live = Live(*words("a", "b", "c"))
    for tag, value in ((0, 1), (1, 2), (2, 3)):
        live.log.put(tag, value, 900)
    live.drain(1)
    live.log.put(1, 20, 1_500)
    live.log.put(1, 21, 1_600)
    live.drain(2)
    shown = [
        (selection(frame.present, 3), frame.read, frame.suppressed, [run.time_ms for run in frame.source])
        for frame in live.frames
    ]
    assert shown == [([1, 1, 1], 3, 0, [900]), ([0, 1, 0], 1, 0, [1_500]), ([0, 1, 0], 1, 0, [1_600])]
    assert [frame.n for frame in live.frames] == [1, 2, 3]
    assert struct.unpack("<HHH", live.frames[2].row)[1] == 21
    live.check()
    assert live.latest() == [(1, "good", 1_000), (21, "good", 2_000), (3, "good", 1_000)]


def test_nothing_new_is_no_frame_and_no_sign_of_life() -> None:
    live = Live(*words("a"))
    live.log.put(0, 1)
    live.drain(1)
    live.drain(2)
    assert len(live.frames) == 1
    assert live.group.heard_ns == SECOND
    live.log.keepalive()
    live.drain(3)
    assert len(live.frames) == 1
    assert live.group.heard_ns == 3 * SECOND
    live.check()


def test_a_value_that_has_not_changed_is_fresh_as_long_as_the_server_stands_by_it() -> None:
    live = Live(*words("a"))
    live.log.put(0, 1)
    live.drain(1)
    assert live.latest(fresh_since_ns=5 * SECOND) == [(1, "stale", 1_000)]
    live.log.keepalive()
    live.drain(6)
    # Its time is that of its change: tb PR#2120, #1990.
    assert live.latest(fresh_since_ns=5 * SECOND) == [(1, "good", 1_000)]


def test_a_tag_of_which_nothing_came_yet_has_no_value() -> None:
    live = Live(*words("a", "b"))
    live.log.put(1, 5)
    live.drain(1)
    assert live.latest() == [(None, "bad_comm", 0), (5, "good", 1_000)]


def test_a_lost_link_takes_the_values_and_a_new_one_brings_them_back() -> None:
    live = Live(*words("a", "b"))
    live.log.put(0, 1)
    live.log.put(1, 2)
    live.drain(1)
    live.nothing(2)
    assert [value for value, _, _ in live.latest()] == [None, None]
    live.log.put(0, 1)
    live.drain(3)
    assert live.latest() == [(1, "good", 3_000), (None, "bad_comm", 0)]
    live.check()


def test_the_deadband_holds_back_changes_and_the_sums_stay_exact() -> None:
    live = Live(*words("a", "b"), a=Deadband(absolute=5))
    for value in (10, 12, 14, 16, 17):
        live.log.put(0, value)
    live.log.put(1, 1)
    live.drain(1)
    kept = [struct.unpack("<HH", frame.row)[0] for frame in live.frames if selection(frame.present, 2)[0]]
    assert kept == [10, 16]
    assert (live.counts.read, live.counts.suppressed) == (6, 3)
    live.check()


def test_a_change_that_came_too_soon_is_kept_when_its_least_interval_has_passed() -> None:
    """tb#1896: on change, but not more often than: the last value of a burst must not be lost."""
    live = Live(*words("a", "b"), a=Deadband(on_change=True, min_interval=Seconds(5)))
    live.log.put(0, 1, 900)
    live.log.put(1, 7, 900)
    live.drain(1)
    live.log.put(0, 2, 1_900)
    live.drain(2)
    live.log.keepalive()
    live.drain(3)
    assert len(live.frames) == 1
    live.log.keepalive()
    live.drain(6)
    assert len(live.frames) == 2
    frame = live.frames[1]
    assert selection(frame.present, 2) == [1, 0]
    assert struct.unpack("<HH", frame.row)[0] == 2
    live.log.keepalive()
    live.drain(12)
    assert len(live.frames) == 2
    live.check()


def test_what_was_held_back_comes_along_with_a_neighbours_change() -> None:
    live = Live(*words("a", "b"), a=Deadband(on_change=True, min_interval=Seconds(5)))
    live.log.put(0, 1, 900)
    live.drain(1)
    live.log.put(0, 2, 1_900)
    live.drain(2)
    live.log.put(1, 7, 6_500)
    live.drain(7)
    frame = live.frames[-1]
    assert selection(frame.present, 2) == [1, 1]
    assert struct.unpack("<HH", frame.row) == (2, 7)
    assert [(run.first, run.time_ms) for run in frame.source] == [(1, 6_500)]
    live.check()


def test_a_value_that_does_not_change_is_kept_at_its_longest_interval_while_the_server_stands_by_it() -> None:
    live = Live(*words("a"), a=Deadband(on_change=True, max_interval=Seconds(10)))
    live.log.put(0, 1, 900)
    live.drain(1)
    for second in (5, 11, 15, 21):
        live.log.keepalive()
        live.drain(second)
    assert [frame.wall_ms for frame in live.frames] == [1_000, 11_000, 21_000]
    live.drain(60)  # nobody stands by it
    assert len(live.frames) == 3
    live.check()


def test_bad_changes_are_told_with_their_quality_and_nan_is_none() -> None:
    live = Live(TagSchema("x", ValueType.FLOAT64), TagSchema("y", ValueType.FLOAT64))
    live.log.put(0, float("nan"))
    live.log.put(1, 2.0)
    live.log.put(1, None, mark=MISSING)
    live.drain(1)
    assert [[(run.first, run.quality) for run in frame.quality] for frame in live.frames] == [
        [(0, Quality.BAD_VALUE)], [(1, Quality.BAD_COMM)],
    ]  # fmt: skip
    assert live.latest() == [(None, "bad_value", 1_000), (None, "bad_comm", 1_000)]


def test_what_is_lost_becomes_an_event() -> None:
    live = Live(*words("a"))
    live.log.lose("the server's queue overflowed")
    live.drain(1)
    [event] = live.sink.events
    assert (event.code, event.connection) == ("changes_lost", "plc")
    assert "plc.g: the server's queue overflowed" in event.message


@pytest.mark.parametrize(
    "part",
    [
        Part(b"\1", b"\0\0\0\0"),
        Part(b"\0\0", b"\0\0\0\0"),
        Part(b"\1\1", b"\0\0"),
        Part(b"\1\1", b""),
    ],
)
def test_a_part_that_contradicts_the_schema_is_refused(part: Part) -> None:
    live = Live(*words("a", "b"))
    with pytest.raises(BadReading):
        live.group.take(Reading(b"", news=(part,)), SECOND, 1_000)
