"""Corrected times stand beside the samples' own, and come from the clock records of the same boot."""

from typing import Any

from central_sync.store import clocks
from edge_agent.wire.batch import FramesPart, Kind, RecordsPart
from tests.unit.central.conftest import House, OpenHouse
from tests.unit.central.edge import T0, Edge, frame

SECOND = 10**9


def _record(why: str, mono_s: int, wall_ms: int, sync: bool | None) -> dict[str, Any]:
    return {"why": why, "mono_ns": mono_s * SECOND, "wall_ms": wall_ms, "sync": sync}


async def _send(house: House, edge: Edge, *parts: Any) -> None:
    item = edge.seal(list(parts))
    await house.put_schema(edge)
    answer = (await house.post(edge, edge.upload(item))).json
    assert answer["acked"] == [[item.seq, item.seq]]


async def _series(house: House, start: int, end: int) -> Any:
    return await house.get(f"/api/fleet/devices/dev-1/tags/t0/timeseries?from={start}&to={end}")


async def test_samples_of_1970_get_their_time_from_the_step_that_followed(open_house: OpenHouse) -> None:
    async with open_house() as house:
        edge = Edge()
        early = [frame(n, (n, n, n), 5_000 + n * 1000) for n in (1, 2)]
        await _send(house, edge, RecordsPart(Kind.CLOCK, [_record("start", 0, 5_000, False)]),
                    FramesPart(edge.schema, early))  # fmt: skip
        assert (await _series(house, 0, 100_000))["corrected"] == []
        await _send(house, edge, RecordsPart(Kind.CLOCK, [_record("step", 10, T0, True)]),
                    FramesPart(edge.schema, [frame(11, (1, 2, 3), T0 + 1000)]))  # fmt: skip
        found = await _series(house, 0, 100_000)
        assert [point[0] for point in found["points"]] == [6_000, 7_000]
        assert found["corrected"] == [T0 - 9_000, T0 - 8_000]
        assert (await _series(house, T0, T0 + 5_000))["corrected"] == []


async def test_readings_out_of_step_or_out_of_bounds_correct_nothing(open_house: OpenHouse) -> None:
    async with open_house() as house:
        edge = Edge()
        records = [
            _record("start", 0, 1, None), {"why": "step", "sync": True}, {"sync": True, "mono_ns": 1 << 63},
            {"sync": True, "mono_ns": True, "wall_ms": "x"}, _record("step", 0, -5, True),
        ]  # fmt: skip
        await _send(house, edge, RecordsPart(Kind.CLOCK, records),
                    FramesPart(edge.schema, [frame(1, (1, 2, 3))]))  # fmt: skip
        assert (await _series(house, T0, T0 + 5_000))["corrected"] == []


def test_the_nearest_reading_counts_and_half_a_second_is_no_correction() -> None:
    known = [(0, 1_000_000), (100 * SECOND, 9_000_000)]
    assert clocks.corrected(known, 90 * SECOND, 0) == 8_990_000
    assert clocks.corrected(known, 10 * SECOND, 0) == 1_010_000
    assert clocks.corrected(known, 10 * SECOND, 1_010_499) is None
    assert clocks.corrected([], 0, 0) is None


def test_a_sleep_corrects_neither_what_was_read_before_it_nor_what_after() -> None:
    """The monotonic clock stood still for eight hours; it was noticed a second after the machine woke."""
    slept, wake = 8 * 3_600_000, 3_600
    known = [(0, T0), (wake * SECOND, T0 + wake * 1000 + slept)]
    for second in (1, 1_700, 1_900, 3_598):
        assert clocks.corrected(known, second * SECOND, T0 + second * 1000) is None
    for second in (3_599, 3_600, 9_000):
        assert clocks.corrected(known, second * SECOND, T0 + second * 1000 + slept) is None


async def test_a_sleep_ends_what_earlier_readings_say_in_step_or_not(open_house: OpenHouse) -> None:
    async with open_house() as house:
        edge = Edge()
        slept = 8 * 3_600_000
        await _send(house, edge, RecordsPart(Kind.CLOCK, [_record("start", 0, T0, True)]),
                    FramesPart(edge.schema, [frame(1, (1, 2, 3), T0 + 1000)]))  # fmt: skip
        woke = T0 + slept + 2000
        await _send(house, edge, RecordsPart(Kind.CLOCK, [_record("resume", 2, woke, False)]),
                    FramesPart(edge.schema, [frame(3, (1, 2, 3), woke + 1000)]))  # fmt: skip
        assert len((await _series(house, T0, woke + 5_000))["points"]) == 2
        assert (await _series(house, T0, woke + 5_000))["corrected"] == []
