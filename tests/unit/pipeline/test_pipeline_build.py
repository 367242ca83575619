import pytest
from pydantic import ValidationError

from edge_agent.config.models import TransportSettings
from edge_agent.contracts.errors import ConfigError
from edge_agent.pipeline.build import address_of, groups_of, transport_of
from edge_agent.wire.schema import Schema, TagSchema, ValueType
from tests.unit.pipeline.plant import FakeConnection, Plant, group


class HostTransport(TransportSettings):
    host: str
    port: int | None = None


class PortTransport(TransportSettings):
    port: str


class PortConnection(FakeConnection):
    transport: PortTransport  # type: ignore[assignment]


class HostConnection(FakeConnection):
    transport: HostTransport  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("transport", "address"),
    [({"host": "plc", "port": 502}, "plc:502"), ({"host": "plc"}, "plc")],
)
def test_the_address_is_what_people_would_write(transport: dict[str, object], address: str) -> None:
    settings = {"name": "c", "driver": "fake", "transport": transport, "groups": []}
    assert address_of(HostConnection.model_validate(settings)) == address


def test_the_address_of_a_line_is_its_port() -> None:
    settings = {"name": "c", "driver": "fake", "transport": {"port": "/dev/ttyUSB0"}, "groups": []}
    assert address_of(PortConnection.model_validate(settings)) == "/dev/ttyUSB0"


def test_a_connection_without_a_host_has_no_address_and_one_without_groups_none() -> None:
    connection = FakeConnection(name="c", driver="fake", groups=[])
    assert (address_of(connection), list(groups_of(connection))) == ("", [])
    assert transport_of(connection).timeout == 2


async def test_groups_of_one_unit_share_its_breaker_and_units_do_not() -> None:
    plant = Plant([group("a", unit_id=1), group("b", unit_id=1), group("c", unit_id=2)])
    assert [(unit.unit_id, unit.groups) for unit in plant.poller.report().units] == [(1, 2), (2, 1)]


async def test_phases_differ_from_connection_to_connection() -> None:
    plant = Plant([group("g", "1s")])
    firsts = []
    for _ in range(5):
        plant.poller = plant.build()
        begun = len(plant.driver.reads)
        async with plant.running():
            start = plant.clock.monotonic()
            await plant.clock.advance(1)
        firsts.append(round(plant.driver.reads[begun][1] - start, 3))
    assert len(set(firsts)) == 5
    assert all(0 <= first < 1 for first in firsts)


def test_a_group_whose_schema_the_centre_would_refuse_is_refused_here() -> None:
    with pytest.raises(ConfigError, match=r"plc\.g: two tags of the schema have one name"):
        Plant([group("g", tags=[{"name": "t"}, {"name": "t"}])])


async def test_values_asked_for_by_a_schema_that_was_replaced_are_none() -> None:
    plant = Plant([{"name": "g", "interval": "1s", "tags": [{"name": "a"}]}])
    async with plant.running():
        await plant.clock.advance(2)
        (schema,) = plant.poller.schemas()
        found = plant.poller.latest_of(schema, {0: schema.tags[0]})
        assert [value.tag for value in found] == ["a"]
        other = Schema.of("plc", "g", schema.unit_id, [TagSchema("b", ValueType.UINT16)])
        assert plant.poller.latest_of(other, {0: other.tags[0]}) == []


async def test_each_group_has_a_deadline_its_own_or_one_that_follows_from_its_interval() -> None:
    plant = Plant([group("own", "1s", liveness="7s"), group("quick", "1s"), group("slow", "1m")])
    deadlines = {each.name: each.deadline_seconds for each in plant.poller.report().groups}
    assert deadlines == {"own": 7.0, "quick": 30.0, "slow": 300.0}


def test_a_deadline_that_any_late_poll_would_miss_is_refused() -> None:
    with pytest.raises(ValidationError, match="shorter than two intervals"):
        Plant([group("g", "10s", liveness="15s")])
