"""Latest values and history: by (term, epoch, seq, frame), in engineering units, rebuilt at the start."""

from typing import Any
from urllib.parse import quote

import pytest

from edge_agent.wire.batch import FramesPart
from edge_agent.wire.frame import Frame
from edge_agent.wire.messages import ConnectionReport
from edge_agent.wire.quality import Quality, QualityRun
from edge_agent.wire.schema import Schema, TagSchema, ValueType
from tests.unit.central.conftest import House, OpenHouse
from tests.unit.central.edge import T0, Edge, frame, uint16_schema


async def _latest(house: House, query: str = "") -> dict[str, Any]:
    items = (await house.get(f"/api/fleet/devices/dev-1/latest-values{query}"))["items"]
    return {item["tag"]: item for item in items}


async def _points(house: House, tag: str = "t0", query: str = "") -> list[Any]:
    span = f"?from={T0 - 10**9}&to={T0 + 10**9}{query}"
    series = await house.get(f"/api/fleet/devices/dev-1/tags/{tag}/timeseries{span}")
    points: list[Any] = series["points"]
    return points


async def test_a_value_is_shown_in_engineering_units_with_quality_time_and_unit(
    open_house: OpenHouse,
) -> None:
    async with open_house() as house:
        edge = Edge()
        await house.put_schema(edge)
        bad = (QualityRun(1, 1, Quality.BAD_COMM, True),)
        part = FramesPart(edge.schema, [frame(1, [215, 0, 30], quality=bad)])
        await house.post(edge, edge.upload(edge.seal([part])))
        items = await _latest(house)
        assert items["t0"] == {
            "connection": "press1", "group": "fast", "tag": "t0", "value": 21.5, "quality": "good",
            "time": T0 + 1000, "unit": "°C",
        }  # fmt: skip
        assert (items["t1"]["value"], items["t1"]["quality"]) == (None, "bad_comm")


async def test_a_clock_set_back_freezes_nothing(open_house: OpenHouse) -> None:
    async with open_house() as house:
        edge = Edge()
        await house.put_schema(edge)
        await house.post(edge, edge.upload(edge.make([10, 10, 10], wall_ms=T0)))
        await house.post(edge, edge.upload(edge.make([20, 20, 20], wall_ms=T0 - 86_400_000)))
        assert (await _latest(house))["t0"]["value"] == 2.0


async def test_a_backlog_that_comes_late_moves_no_value_back(open_house: OpenHouse) -> None:
    async with open_house() as house:
        edge = Edge()
        await house.put_schema(edge)
        old, new = edge.make([10, 10, 10]), edge.make([20, 20, 20])
        await house.post(edge, edge.upload(new))
        await house.post(edge, edge.upload(old))
        assert (await _latest(house))["t0"]["value"] == 2.0
        assert [point[1] for point in await _points(house)] == [1.0, 2.0]


@pytest.mark.parametrize("changes", [{"no": 2, "epoch": "epoch-b"}, {"term": 5, "epoch": "epoch-b"}])
async def test_a_later_epoch_or_term_is_newer_whatever_its_seq(
    open_house: OpenHouse, changes: dict[str, Any]
) -> None:
    async with open_house() as house:
        first = Edge(next=500)
        await house.put_schema(first)
        later = Edge(**changes)
        await house.post(later, later.upload(later.make([20, 20, 20])))
        await house.post(first, first.upload(first.make([10, 10, 10], wall_ms=T0 + 10**6)))
        assert (await _latest(house))["t0"]["value"] == 2.0


async def test_of_two_epochs_with_one_number_the_one_opened_later_is_newer(open_house: OpenHouse) -> None:
    """An agent that lost its database twice within the time that the number is made of."""
    async with open_house() as house:
        lost = Edge(epoch="epoch-z", no=7, next=500)
        await house.put_schema(lost)
        await house.post(lost, lost.upload(lost.make([10, 10, 10])))
        fresh = Edge(epoch="epoch-a", no=7, run="run-b")
        await house.post(fresh, fresh.upload(fresh.make([20, 20, 20])))
        assert (await _latest(house))["t0"]["value"] == 2.0
        await house.post(lost, lost.upload(lost.make([11, 11, 11])))
        assert (await _latest(house))["t0"]["value"] == 2.0
        older = Edge(epoch="epoch-0", no=6, run="run-0")
        await house.post(older, older.upload(older.make([12, 12, 12])))
        assert (await _latest(house))["t0"]["value"] == 2.0
    async with open_house() as house:
        assert (await _latest(house))["t0"]["value"] == 2.0
        await house.post(fresh, fresh.upload(fresh.make([30, 30, 30])))
        assert (await _latest(house))["t0"]["value"] == 3.0


async def test_values_that_nobody_renews_are_stale(open_house: OpenHouse) -> None:
    async with open_house() as house:

        async def look() -> list[tuple[str, str]]:
            items = (await house.get("/api/fleet/devices/dev-1/latest-values"))["items"]
            return [(item["connection"], item["quality"]) for item in items]

        for name in ("press1", "press2"):
            edge = Edge(schema=uint16_schema(name, tags=1), epoch=f"epoch-{name}")
            await house.put_schema(edge)
            await house.post(edge, edge.upload(edge.make([1])))
        assert await look() == [("press1", "good"), ("press2", "good")]
        names = ("press1", "press2")
        there = [ConnectionReport(name=name, driver="modbus", state="connected") for name in names]
        house.clock.advance(1)
        await house.beat(edge, connections=there)
        assert await look() == [("press1", "good"), ("press2", "good")]
        await house.beat(edge, connections=there[1:])
        assert await look() == [("press1", "stale"), ("press2", "good")]
        house.clock.advance(91)
        await house.centre.offline.look()
        assert await look() == [("press1", "stale"), ("press2", "stale")]
        await house.beat(edge, connections=there)
        assert await look() == [("press1", "good"), ("press2", "good")]


async def test_partial_frames_move_the_tags_they_hold(open_house: OpenHouse) -> None:
    async with open_house() as house:
        edge = Edge()
        await house.put_schema(edge)
        await house.post(edge, edge.upload(edge.make([10, 10, 10])))
        part = FramesPart(
            edge.schema, [frame(2, [0, 77, 0], present=[0, 1, 0]), frame(3, [0, 0, 88], present=[0, 0, 1])]
        )
        await house.post(edge, edge.upload(edge.seal([part])))
        assert [item["value"] for item in (await _latest(house)).values()] == [1.0, 7.7, 8.8]
        assert await _points(house, "t1") == [[T0 + 1000, 1.0, "good"], [T0 + 2000, 7.7, "good"]]


async def test_strings_arrays_and_structures_are_shown(open_house: OpenHouse) -> None:
    schema = Schema.of(
        "press1", "fast", None,
        [TagSchema("alarm", ValueType.STRING), TagSchema("zones", ValueType.UINT8, count=3)],
    )  # fmt: skip
    async with open_house() as house:
        edge = Edge(schema=schema)
        await house.put_schema(edge)
        part = FramesPart(schema, [Frame(1, 0, T0, bytes([1, 2, 3]), 2, text=("문 열림",))])
        await house.post(edge, edge.upload(edge.seal([part])))
        items = await _latest(house)
        assert (items["alarm"]["value"], items["zones"]["value"]) == ("문 열림", [1, 2, 3])
        assert await _points(house, "alarm") == [[T0, "문 열림", "good"]]


async def test_pages_go_on_where_the_last_one_ended(open_house: OpenHouse) -> None:
    async with open_house() as house:
        for connection in ("press2", "press1"):
            edge = Edge(schema=uint16_schema(connection), epoch=f"epoch-{connection}")
            await house.put_schema(edge)
            await house.post(edge, edge.upload(edge.make()))
        seen: list[str] = []
        query = "?limit=4"
        while query:
            page = await house.get(f"/api/fleet/devices/dev-1/latest-values{query}")
            seen += [f"{item['connection']}.{item['tag']}" for item in page["items"]]
            query = f"?limit=4&cursor={page['next']}" if page["next"] else ""
        assert seen == [f"press{place}.t{tag}" for place in (1, 2) for tag in range(3)]
        assert len(await _latest(house, "?connection=press2")) == 3


async def test_after_a_config_change_the_group_has_its_new_tags_alone(open_house: OpenHouse) -> None:
    async with open_house() as house:
        edge = Edge()
        await house.put_schema(edge)
        await house.post(edge, edge.upload(edge.make()))
        edge.schema = Schema.of("press1", "fast", 1, [TagSchema("pressure", ValueType.UINT16)])
        await house.put_schema(edge)
        await house.post(edge, edge.upload(edge.make([9])))
        assert set(await _latest(house)) == {"pressure"}
        assert len(await _points(house, "t0")) == 1


async def test_history_is_the_newest_points_of_a_span_in_ascending_order(open_house: OpenHouse) -> None:
    async with open_house() as house:
        edge = Edge()
        await house.put_schema(edge)
        items = [edge.make([n, n, n]) for n in range(1, 31)]
        for start in range(0, 30, 5):
            await house.post(edge, edge.upload(*reversed(items[start : start + 5])))
        points = await _points(house)
        assert [point[0] for point in points] == [T0 + n * 1000 for n in range(1, 31)]
        assert [point[1] for point in await _points(house, query="&limit=2")] == [2.9, 3.0]
        path = "/api/fleet/devices/dev-1/tags/t0/timeseries"
        some = await house.get(f"{path}?from={T0 + 3000}&to={T0 + 5000}")
        assert [point[1] for point in some["points"]] == [0.3, 0.4, 0.5]
        assert (some["unit"], some["truncated"], some["connection"]) == ("°C", False, "press1")
        cut = await house.get(f"{path}?from={T0}&to={T0 + 10**6}&limit=3")
        assert cut["truncated"] is True


async def test_a_long_batch_is_found_by_any_moment_in_it(open_house: OpenHouse) -> None:
    async with open_house() as house:
        edge = Edge()
        await house.put_schema(edge)
        part = FramesPart(edge.schema, [frame(n, [n, n, n]) for n in range(1, 101)])
        await house.post(edge, edge.upload(edge.seal([part])))
        path = "/api/fleet/devices/dev-1/tags/t0/timeseries"
        some = await house.get(f"{path}?from={T0 + 50_000}&to={T0 + 51_000}")
        assert [point[1] for point in some["points"]] == [5.0, 5.1]


@pytest.mark.parametrize("name", ["온도/1 %", "a.b", "50%2F", "..", "zone[01]"])
async def test_tags_have_any_name(open_house: OpenHouse, name: str) -> None:
    schema = Schema.of("press1", "fast", 1, [TagSchema(name, ValueType.UINT16)])
    async with open_house() as house:
        edge = Edge(schema=schema)
        await house.put_schema(edge)
        await house.post(edge, edge.upload(edge.make([5])))
        written = quote(name, safe="").replace(".", "%2E")
        path = f"/api/fleet/devices/dev-1/tags/{written}/timeseries?from={T0}&to={T0 + 9999}"
        series = await house.get(path)
        assert (series["tag"], series["points"]) == (name, [[T0 + 1000, 5, "good"]])


async def test_a_tag_of_several_connections_needs_its_connection(open_house: OpenHouse) -> None:
    async with open_house() as house:
        for index, connection in enumerate(("press1", "press2")):
            edge = Edge(schema=uint16_schema(connection), epoch=f"epoch-{connection}")
            await house.put_schema(edge)
            await house.post(edge, edge.upload(edge.make([index, 0, 0])))
        path = "/api/fleet/devices/dev-1/tags/t0/timeseries"
        unclear = await house.ask("GET", path)
        assert (unclear.status, unclear.json["code"]) == (400, "ambiguous_tag")
        assert unclear.json["candidates"] == ["press1", "press2"]
        points = await _points(house, query="&connection=press2")
        assert [point[1] for point in points] == [0.1]
        unknown = await house.ask("GET", f"{path}?connection=press3")
        assert (unknown.status, unknown.json["code"]) == (404, "unknown_tag")


async def test_read_models_are_the_same_after_a_restart(open_house: OpenHouse) -> None:
    edge = Edge()
    async with open_house() as house:
        await house.put_schema(edge)
        await house.post(edge, edge.upload(edge.make([10, 10, 10])))
        part = FramesPart(edge.schema, [frame(2, [0, 77, 0], present=[0, 1, 0])])
        await house.post(edge, edge.upload(edge.seal([part])))
        before = await _latest(house)
    async with open_house() as house:
        assert await _latest(house) == before
        older = Edge(epoch="epoch-0", no=0, run="run-0")
        await house.post(older, older.upload(older.make([1, 1, 1])))
        assert await _latest(house) == before


async def test_a_frame_that_is_stored_twice_is_found(open_house: OpenHouse) -> None:
    edge = Edge()
    async with open_house() as house:
        await house.put_schema(edge)
        await house.post(edge, edge.upload(edge.make()))
        renamed = Edge(epoch="epoch-b", no=2)
        await house.post(renamed, renamed.upload(renamed.make()))
        assert (await house.stats())["duplicates"] == 1
    async with open_house() as house:
        assert (await house.stats())["duplicates"] == 1


async def test_a_batch_that_only_the_read_model_cannot_read_is_stored_all_the_same(
    open_house: OpenHouse,
) -> None:
    async with open_house() as house:
        edge = Edge()
        await house.put_schema(edge)
        other = Edge(schema=uint16_schema(tags=5))
        await house.put_schema(other)
        # Frames of five tags under the name of the schema of three.
        item = edge.seal([FramesPart(_Lying(edge.schema.hash, other.schema), [frame(1, [1] * 5)])])
        assert (await house.post(edge, edge.upload(item))).json["acked"] == [[1, 1]]
        await house.post(edge, edge.upload(edge.make()))
        assert (await house.stats())["batches"] == 2
        assert (await house.get("/api/fleet/stats"))["unreadable_batches"] == 1
        assert len(await _latest(house)) == 3


class _Lying(Schema):
    """A schema that goes by another one's name."""

    def __init__(self, name: str, real: Schema) -> None:
        super().__init__(real.connection, real.group, real.unit_id, real.tags)
        self.__dict__["hash"] = name
