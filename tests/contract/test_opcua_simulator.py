"""The simulated OPC UA server: values by their formula, faults, and what `browse` makes of it.

One server for all tests of the module, started and stopped by each: its address space takes seconds to make.
"""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest
from asyncua import ua as library
from asyncua.client.client import Client
from asyncua.ua.uaerrors import UaError

from edge_agent.app.browsing import browse
from edge_agent.app.offline import read_once
from edge_agent.app.settings import load_config
from edge_agent.config.written_tags import as_csv, as_yaml, named
from edge_agent.contracts.driver import Browsed
from edge_agent.contracts.errors import ConfigError, NotConnected, Unsupported
from edge_agent.drivers.opcua.simulator.control import obey
from edge_agent.drivers.opcua.simulator.nodes import NAMESPACE
from edge_agent.drivers.opcua.simulator.server import Counters, Faults, Simulator, SimulatorConfig
from edge_agent.drivers.opcua.simulator.signals import BUILT_IN, Signal, expected, signals
from edge_agent.drivers.simulating.control import serve_control

ua: Any = library
TICK_MS = 50
CONFIG = """
agent: {{id: gate-1}}
connections:
  - name: press1
    driver: opcua
    transport: {{url: "{url}", timeout: 5s}}
    groups:
      - {{name: a, interval: 1s, mode: poll, tags: [{{name: t, address: i=2258}}, {more}]}}
  - name: old
    driver: modbus
    transport: {{type: tcp, host: 127.0.0.1}}
    groups: [{{name: a, interval: 1s, tags: [{{name: t, address: "holding:1"}}]}}]
"""


@pytest.fixture(scope="module")
def built() -> Simulator:
    return Simulator(SimulatorConfig(items=250, tick_ms=TICK_MS, writable=True))


@pytest.fixture
async def simulator(built: Simulator) -> AsyncIterator[Simulator]:
    built.faults, built.counters = Faults(), Counters()
    async with built:
        yield built


@pytest.fixture
async def client(simulator: Simulator) -> AsyncIterator[Client]:
    client = Client(simulator.url, timeout=5)
    await client.connect()
    yield client
    client._auto_reconnect = False
    await asyncio.wait_for(client.disconnect(), 5)


def plain(value: Any) -> Any:
    """A value of the library as `expected` has it."""
    match type(value).__name__:
        case "list":
            return [plain(each) for each in value]
        case "NodeId" | "ExpandedNodeId":
            return f"ns={value.NamespaceIndex};i={value.Identifier}"
        case "QualifiedName":
            return f"{value.NamespaceIndex}:{value.Name}"
        case "LocalizedText":
            return value.Text
        case "XmlElement":
            return value.Value
        case "StatusCode":
            return value.value
        case "HoldfastPump":
            return {name: getattr(value, name) for name in ("Running", "Speed", "Name", "Counts")}
        case _:
            return value


async def test_each_value_follows_from_its_source_time(simulator: Simulator, client: Client) -> None:
    asked = [each for each in simulator.signals if not each.name.startswith("Items.0")]
    asked += [each for each in simulator.signals if each.name.startswith("Items.002")]
    read = await client.read_attributes([client.get_node(f"ns=2;s={each.name}") for each in asked])
    assert {each.type for each in asked} > set(BUILT_IN)
    for each, found in zip(asked, read, strict=True):
        assert found.SourceTimestamp is not None
        k = round(found.SourceTimestamp.timestamp() * 1000) // TICK_MS
        value = None if found.Value is None else plain(found.Value.Value)
        assert (each.name, value) == (each.name, expected(each, k))
        assert found.StatusCode == ua.StatusCode(getattr(ua.StatusCodes, each.status))


async def test_values_change_with_each_tick(client: Client) -> None:
    subscription: Any = await client.create_subscription(TICK_MS, queue_maxsize=1000)
    await subscription.subscribe_data_change([client.get_node("ns=2;s=Types.Int32")], queuesize=100)
    ticks: list[int] = []
    async with asyncio.timeout(10):
        async for event in subscription:
            time = event.data.monitored_item.Value.SourceTimestamp
            ticks.append(round(time.timestamp() * 1000) // TICK_MS)
            if len(ticks) == 6:
                break
    await subscription.delete()
    assert ticks == sorted(set(ticks))


async def test_what_was_asked_is_counted_and_a_write_is_told_apart(
    simulator: Simulator, client: Client
) -> None:
    before = simulator.counters.services.get("Read", 0)
    await client.get_node("ns=2;s=Plant.Static").read_value()
    assert simulator.counters.services["Read"] == before + 1
    assert simulator.counters.writes == 0


@pytest.mark.writes
async def test_a_written_value_stands(simulator: Simulator, client: Client) -> None:
    node = client.get_node("ns=2;s=Settings.Double")
    await node.write_value(2.5)
    await client.get_node("ns=2;s=Items.00007").read_value()
    assert await node.read_value() == 2.5
    with pytest.raises(UaError, match=r"BadUserAccessDenied|BadNotWritable"):
        await client.get_node("ns=2;s=Items.00007").write_value(1.0)
    assert simulator.counters.writes == 2


async def test_a_dead_subscription_gets_no_keepalive_while_reads_go_on(
    simulator: Simulator, client: Client
) -> None:
    subscription: Any = await client.create_subscription(TICK_MS, queue_maxsize=1000)
    await subscription.subscribe_data_change([client.get_node("ns=2;s=Types.Int32")])
    stream = aiter(subscription)
    async with asyncio.timeout(5):
        await anext(stream)
    await obey(simulator, {"silent": True})
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(_drain(stream), 0.5)
    assert await client.get_node("ns=2;s=Types.Int32").read_value() is not None


async def _drain(stream: Any) -> None:
    async for _ in stream:
        pass


async def test_faults_go_in_over_the_control_port(simulator: Simulator) -> None:
    server = await serve_control(partial(obey, simulator), 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])

    async def order(**what: Any) -> Any:
        writer.write(orjson.dumps(what) + b"\n")
        return orjson.loads(await asyncio.wait_for(reader.readline(), 10))

    try:
        client = Client(simulator.url, timeout=0.4)
        await client.connect()
        assert (await order(stats=True))["open"] == 1
        await order(deaf=True)
        with pytest.raises(TimeoutError):
            await client.get_node("i=2258").read_value()
        await order(clear=True, latency_ms=100)
        began = asyncio.get_running_loop().time()
        await client.get_node("i=2258").read_value()
        assert asyncio.get_running_loop().time() - began >= 0.1
        await order(latency_ms=0, freeze=True)
        with pytest.raises(TimeoutError):
            await client.get_node("i=2258").read_value()
        assert (await order(restart=True))["open"] == 0
        assert "error" in await order(latency_ms="much")
        with pytest.raises((UaError, OSError, TimeoutError)):
            await client.get_node("i=2258").read_value()
        await client.disconnect()
    finally:
        writer.close()
        server.close()


# --- browse --------------------------------------------------------------------------------------------


def config(simulator: Simulator, directory: Path, more: str = "{name: u, address: i=2259}") -> Any:
    path = directory / "edge-agent.yaml"
    path.write_text(CONFIG.format(url=simulator.url, more=more), encoding="utf-8")
    return load_config(path)


async def offered(
    simulator: Simulator, directory: Path, start: str = "", depth: int = 10, connection: str = "press1"
) -> list[Browsed]:
    told: list[int] = []
    found = await browse(config(simulator, directory), connection, start, depth, told.append)
    assert told == list(range(1, len(found) + 1))
    return found


@pytest.mark.parametrize("form", ["yaml", "csv"])
async def test_what_is_browsed_is_polled_as_it_is(simulator: Simulator, tmp_path: Path, form: str) -> None:
    found = await offered(simulator, tmp_path)
    tags, _ = named(found)
    assert {tag.found.address for tag in tags} >= {f"nsu={NAMESPACE};s={each.name}" for each in signals(250)}
    text = as_csv(tags) if form == "csv" else "\n".join(as_yaml(tags))
    (tmp_path / f"tags.{form}").write_text(text, encoding="utf-8")
    reasons: list[str] = []
    loaded = config(simulator, tmp_path, f"{{include: tags.{form}}}")
    values = await read_once(loaded, "press1", reasons.append)
    bad = {value.tag for value in values if value.quality.startswith("bad")}
    assert bad == {"Simulator.Plant.Broken"}
    assert len(values) == len(tags) + 1
    assert simulator.counters.writes == 0


async def test_browse_tells_types_lengths_units_and_who_may_write(
    simulator: Simulator, tmp_path: Path
) -> None:
    found = {each.path[1:]: each for each in await offered(simulator, tmp_path)}
    heat = found["Plant", "Temperature"]
    assert (heat.type, heat.unit, heat.description) == ("float64", "°C", "Oil temperature of the press")
    assert not heat.writable
    assert found["Settings", "Double"].writable
    assert (found["Arrays", "Int16"].type, found["Arrays", "Int16"].count) == ("int16", 5)
    assert found["Arrays", "Matrix"].type == "json"
    assert found["Structures", "Pump"].type == "json"
    assert not found[("Plant",)].is_tag


async def test_browse_begins_where_it_is_told_and_goes_so_deep(simulator: Simulator, tmp_path: Path) -> None:
    below = await offered(simulator, tmp_path, f"nsu={NAMESPACE};s=Plant")
    assert [each.path for each in below][:2] == [("Temperature",), ("Slow",)]
    assert {len(each.path) for each in await offered(simulator, tmp_path, depth=1)} == {1}


async def test_browse_meets_each_node_once_though_references_run_in_circles(
    simulator: Simulator, tmp_path: Path
) -> None:
    server = simulator._server
    assert server is not None
    plant, types = (server.get_node(ua.NodeId(name, 2)) for name in ("Plant", "Types"))
    kind = ua.ObjectIds.HasComponent
    for one, other in ((plant, types), (types, plant)):
        await one.add_reference(other, kind, forward=True, bidirectional=False)
    try:
        found = await offered(simulator, tmp_path, depth=100)
        below = await offered(simulator, tmp_path, f"nsu={NAMESPACE};s=Plant", depth=100)
    finally:
        for one, other in ((plant, types), (types, plant)):
            await one.delete_reference(other, kind, forward=True, bidirectional=False)
    addresses = [each.address for each in found]
    assert len(addresses) == len(set(addresses))
    assert {each.path[0] for each in below} >= {"Types", "Temperature"}
    assert f"nsu={NAMESPACE};s=Plant" not in [each.address for each in below]


async def test_browse_says_what_cannot_be(simulator: Simulator, tmp_path: Path) -> None:
    for start, word in (
        ("rubbish", "press1: cannot browse from there: 'rubbish' is no node"),
        ("ns=2;s=nothing", "press1: cannot browse from there: BadNodeId"),
        ("nsu=urn:nowhere;s=x", "press1: the server has no namespace urn:nowhere; it has: http://opcfound"),
    ):
        with pytest.raises(ConfigError) as refused:
            await offered(simulator, tmp_path, start)
        assert str(refused.value).startswith(word)
    with pytest.raises(Unsupported, match="old: modbus cannot tell what there is"):
        await offered(simulator, tmp_path, connection="old")
    with pytest.raises(ConfigError, match="there is no connection 'new'; there are: press1, old"):
        await offered(simulator, tmp_path, connection="new")
    simulator.faults.deaf = True
    await simulator.stop()
    with pytest.raises(NotConnected, match="press1: "):
        await offered(simulator, tmp_path)


async def test_as_a_program_it_announces_itself_takes_orders_and_ends_when_told() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "edge_agent", "simulate", "opcua", "--json", "--items", "3", "--control", "0",
        "--user", "holdfast:geheim", "--tick-ms", "3600000",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        async with asyncio.timeout(50):
            told = orjson.loads(await process.stdout.readline())
        assert len(told["thumbprint"]) == 40
        assert told["url"] == f"opc.tcp://127.0.0.1:{told['ports'][0]}"
        reader, writer = await asyncio.open_connection("127.0.0.1", told["control"])
        writer.write(b'{"stats": true}\n')
        assert orjson.loads(await reader.readline())["writes"] == 0
        writer.close()
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def test_only_settings_take_writes_and_only_where_that_was_asked_for() -> None:
    config = SimulatorConfig()
    assert not config.writable
    assert {each.name.split(".")[0] for each in signals(3) if each.writable} == {"Settings"}


def test_signals_are_formulas() -> None:
    assert expected(Signal("a", "Int16", 1), 5000) == -30505
    assert expected(Signal("a", "Double", 2), 14) == 1.0
    assert expected(Signal("a", "Int32", shape=(2, 2)), 1) == [[7, 38], [69, 100]]
    assert expected(Signal("a", status="BadSensorFailure"), 1) is None
