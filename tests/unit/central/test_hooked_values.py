"""What hooks make of groups, at the centre: two schemas of one group by turns under one numbering, frames
of which nothing was kept, and the connection of computed tags."""

from typing import Any

from edge_agent.wire.batch import FramesPart
from edge_agent.wire.frame import Frame
from edge_agent.wire.messages import ConnectionReport, HooksReport
from edge_agent.wire.quality import Quality, QualityRun
from edge_agent.wire.schema import Order, Schema, TagSchema, ValueType
from edge_agent.wire.values import pack
from tests.unit.central.conftest import House, OpenHouse
from tests.unit.central.edge import T0, Edge, frame, uint16_schema

_NAMES = ("t0", "t1", "t2")
_TAGS = [TagSchema(name, ValueType.FLOAT32, unit="°C") for name in _NAMES]
_MEAN = TagSchema("mean", ValueType.FLOAT64)
_HOOKED = Schema.of("press1", "fast", 1, [*_TAGS, _MEAN], ("mean@0123456789abcdef",))


def _hooked(n: int, values: list[float], present: bytes | None = None) -> Frame:
    """values: mean first, as the row has it."""
    row = pack(ValueType.FLOAT64, Order.DCBA, values[:1]) + pack(ValueType.FLOAT32, Order.DCBA, values[1:])
    held = 4 if present is None else present[0].bit_count()
    return Frame(n, n * 10**9, T0 + n * 1000, row, 4, 4 - held, present)


async def _open(house: House) -> Edge:
    edge = Edge()
    await house.put_schema(edge)
    await house.put_schema(Edge(schema=_HOOKED))
    return edge


async def _latest(house: House) -> dict[str, Any]:
    items = (await house.get("/api/fleet/devices/dev-1/latest-values"))["items"]
    return {item["tag"]: (item["value"], item["quality"]) for item in items}


async def _points(house: House, tag: str) -> list[Any]:
    span = f"?from={T0}&to={T0 + 10**9}"
    points: list[Any] = (await house.get(f"/api/fleet/devices/dev-1/tags/{tag}/timeseries{span}"))["points"]
    return [[at - T0, value, quality] for at, value, quality in points]


async def test_history_has_a_tag_in_both_schemas_of_its_group(open_house: OpenHouse) -> None:
    async with open_house() as house:
        edge = await _open(house)
        failed = (QualityRun(0, 3, Quality.BAD_HOOK, False),)
        parts = [
            FramesPart(_HOOKED, [_hooked(1, [2, 1, 2, 3]), _hooked(3, [5, 4, 5, 6])]),
            FramesPart(edge.schema, [frame(2, [10, 20, 30], quality=failed)]),
        ]
        await house.post(edge, edge.upload(edge.seal(parts)))
        assert await _points(house, "t0") == [
            [1000, 1.0, "good"], [2000, 1.0, "bad_hook"], [3000, 4.0, "good"],
        ]  # fmt: skip
        assert await _points(house, "mean") == [[1000, 2.0, "good"], [3000, 5.0, "good"]]
        assert (await _latest(house))["t0"] == (4.0, "good")
        stats = await house.stats()
        assert (stats["duplicates"], stats["gaps"]) == (0, [])


async def test_a_frame_of_which_nothing_was_kept_has_its_number_and_no_value(open_house: OpenHouse) -> None:
    async with open_house() as house:
        edge = await _open(house)
        parts = [FramesPart(_HOOKED, [_hooked(1, [2, 1, 2, 3]), _hooked(2, [9, 9, 9, 9], b"\x00")])]
        item = edge.seal(parts)
        assert item.samples == 4
        await house.post(edge, edge.upload(item))
        assert await _points(house, "t0") == [[1000, 1.0, "good"]]
        assert (await _latest(house))["mean"] == (2.0, "good")
        again = edge.seal([FramesPart(_HOOKED, [_hooked(2, [9, 9, 9, 9], b"\x00")])])
        await house.post(edge, edge.upload(again))
        assert (await house.stats())["duplicates"] == 1


async def test_of_partial_frames_in_two_schemas_the_newest_sample_of_a_tag_is_shown(
    open_house: OpenHouse,
) -> None:
    """Shown was what the schema that spoke last had, however old its other values were."""
    async with open_house() as house:
        edge = await _open(house)
        for parts in (
            [FramesPart(edge.schema, [frame(1, [10, 20, 30])])],
            [FramesPart(_HOOKED, [_hooked(2, [7, 6, 7, 8])])],
            [FramesPart(edge.schema, [frame(3, [90, 0, 0], present=[1, 0, 0])])],
        ):
            await house.post(edge, edge.upload(edge.seal(parts)))
        assert await _latest(house) == {"t0": (9.0, "good"), "t1": (7.0, "good"), "t2": (8.0, "good")}
        later = FramesPart(_HOOKED, [_hooked(4, [5, 0, 5, 0], b"\x05")])
        await house.post(edge, edge.upload(edge.seal([later])))
        assert await _latest(house) == {
            "mean": (5.0, "good"), "t0": (9.0, "good"), "t1": (5.0, "good"), "t2": (8.0, "good"),
        }  # fmt: skip


async def test_computed_tags_are_current_as_long_as_the_device_has_hooks(open_house: OpenHouse) -> None:
    async with open_house() as house:
        edge = Edge(schema=uint16_schema("hooks", tags=1))
        await house.put_schema(edge)
        await house.post(edge, edge.upload(edge.make([10])))
        there = [ConnectionReport(name="press1", driver="modbus", state="connected")]
        await house.beat(edge, connections=there, hooks=HooksReport())
        assert (await _latest(house))["t0"] == (1.0, "good")
        house.clock.advance(1)
        await house.beat(edge, connections=there)
        assert (await _latest(house))["t0"] == (1.0, "stale")
