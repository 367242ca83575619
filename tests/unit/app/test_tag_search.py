"""Finding tags by name: what is shown is all that is unpacked."""

from collections.abc import Mapping

import pytest

from edge_agent.app.values import MAX_LIMIT, TagSearch
from edge_agent.contracts.inspection import ValueQuery
from edge_agent.contracts.status import LatestValue
from edge_agent.wire.schema import Schema, TagSchema, ValueType


def schema(connection: str, group: str, *names: str) -> Schema:
    return Schema.of(connection, group, 1, [TagSchema(name, ValueType.UINT16, unit="°C") for name in names])


class Plant:
    """Groups whose values are their places; notes what was read."""

    def __init__(self, *schemas: Schema) -> None:
        self.schemas = list(schemas)
        self.silent: set[str] = set()
        self.read: list[str] = []
        self.search = TagSearch(lambda: self.schemas, self.latest)

    def latest(self, group: Schema, wanted: Mapping[int, TagSchema]) -> list[LatestValue]:
        self.read += [tag.name for tag in wanted.values()]
        if group.connection in self.silent:
            return []
        return [
            LatestValue(
                connection=group.connection, group=group.group, tag=tag.name, value=place, quality="good",
                time=1,
            )
            for place, tag in wanted.items()
        ]  # fmt: skip

    async def names(self, **query: object) -> tuple[int, list[str]]:
        page = await self.search.find(ValueQuery(**query))  # type: ignore[arg-type]
        return page.total, [f"{item.connection}.{item.tag}" for item in page.items]


@pytest.fixture
def plant() -> Plant:
    return Plant(
        schema("press1", "fast", "t10", "t2", "Oil_Temp"),
        schema("press1", "slow", "온도", "level"),
        schema("oven", "all", "power", "t1"),
    )


async def test_all_tags_in_the_order_that_people_read(plant: Plant) -> None:
    everything = [
        "press1.Oil_Temp",
        "press1.t2",
        "press1.t10",
        "press1.level",
        "press1.온도",
        "oven.power",
        "oven.t1",
    ]
    assert await plant.names() == (7, everything)
    assert await plant.names(connection="oven") == (2, everything[5:])
    assert await plant.names(connection="nobody") == (0, [])


@pytest.mark.parametrize(("offset", "limit"), [(0, 2), (2, 2), (3, 3), (5, 100), (7, 5), (100, 1), (0, 0)])
async def test_a_page_is_a_part_of_all(plant: Plant, offset: int, limit: int) -> None:
    _, everything = await plant.names()
    plant.read.clear()
    total, shown = await plant.names(offset=offset, limit=limit)
    assert (total, shown) == (7, everything[offset : offset + limit])
    assert sorted(plant.read) == sorted(name.split(".")[1] for name in shown), "nothing else is read"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("oil", ["press1.Oil_Temp"]),
        ("  TEMP ", ["press1.Oil_Temp"]),
        ("온", ["press1.온도"]),
        ("slow", ["press1.level", "press1.온도"]),
        ("ove", ["oven.power", "oven.t1"]),
        ("press1.t", ["press1.t2", "press1.t10"]),
        ("oven.t1", ["oven.t1"]),
        ("t1", ["press1.t10", "oven.t1"]),
        ("nothing", []),
        (".", []),
    ],
)
async def test_a_text_finds_tags_groups_and_connections(plant: Plant, text: str, expected: list[str]) -> None:
    if text == ".":  # CONNECTION.TAG with nothing said of either: everything
        _, expected = await plant.names()
    assert await plant.names(text=text) == (len(expected), expected)


async def test_a_tag_that_was_never_read_is_there_without_a_value(plant: Plant) -> None:
    plant.silent.add("oven")
    page = await plant.search.find(ValueQuery(connection="oven"))
    assert [(item.value, item.quality, item.time, item.unit) for item in page.items] == [
        (None, "stale", 0, "°C"),
        (None, "stale", 0, "°C"),
    ]


async def test_values_belong_to_their_tags(plant: Plant) -> None:
    page = await plant.search.find(ValueQuery(text="t10"))
    assert [(item.tag, item.value) for item in page.items] == [("t10", plant.schemas[0].index("t10"))]


async def test_a_large_plant_is_searched_and_bounded() -> None:
    groups = [
        schema(f"plc{number}", "all", *(f"t{number}_{place}" for place in range(1_000)))
        for number in range(50)
    ]
    plant = Plant(*groups)
    total, shown = await plant.names(limit=10_000)
    assert (total, len(shown)) == (50_000, MAX_LIMIT)
    total, shown = await plant.names(text="_999", limit=MAX_LIMIT)
    assert (total, len(shown)) == (50, 50)
    total, shown = await plant.names(text="t49_99", offset=10)
    assert (total, shown) == (11, ["plc49.t49_999"])


async def test_a_reload_is_seen_at_once(plant: Plant) -> None:
    await plant.names(text="power")
    plant.schemas[2] = schema("oven", "all", "power", "power_2")
    assert await plant.names(text="power") == (2, ["oven.power", "oven.power_2"])
