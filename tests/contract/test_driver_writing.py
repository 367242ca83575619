"""What every driver that writes must do (contracts/driver.py, Writing): one request, never repeated."""

import asyncio
import os
import pickle
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from edge_agent.config.models import Document
from edge_agent.config.pins import pin_of, places
from edge_agent.contracts.driver import Capability, Writing
from edge_agent.contracts.errors import NotConnected, WriteRefused, WriteUnknown
from edge_agent.contracts.writing import WriteOrder
from edge_agent.drivers.write_tally import VARIABLE
from edge_agent.pipeline.build import Workshop, blueprint, build_poller
from edge_agent.runtime.clock import SystemClock
from edge_agent.wire.batch import Kind
from edge_agent.wire.frame import Frame, JsonValue
from edge_agent.wire.messages import Event
from edge_agent.wire.schema import Schema
from edge_agent.writing.journal import WriteJournal
from edge_agent.writing.permit import permits_of
from edge_agent.writing.values import shown
from edge_agent.writing.writer import Rules, Writer
from tests.contract.driver_bench import Bench, until
from tests.contract.peers import WRITING
from tests.contract.peers.contract import Peer

pytestmark = [pytest.mark.writes, pytest.mark.parametrize("peer", WRITING, indirect=True)]


class Desk:
    """A connected driver that writes one tag of its peer, and reads the peer's groups."""

    def __init__(self, peer: Peer) -> None:
        assert peer.write_target is not None
        self.bench = Bench(peer, [*peer.groups(), peer.write_target.group])
        assert isinstance(self.bench.driver, Writing)
        self.driver: Writing = self.bench.driver
        self.values = peer.write_target.values
        group = self.bench.settings.groups[-1]
        assert self.bench.spec.target is not None
        self.target: Any = self.bench.spec.target(self.bench.settings, group, group.tags[0])

    async def write(self, value: JsonValue) -> None:
        await self.driver.write(self.target, value)


@pytest.fixture
async def desk(peer: Peer) -> AsyncIterator[Desk]:
    made = Desk(peer)
    await made.bench.connect()
    yield made
    await made.bench.driver.close()


async def test_a_write_is_one_request_and_the_peer_holds_the_value(peer: Peer, desk: Desk) -> None:
    assert Capability.WRITE in desk.bench.spec.capabilities
    for number, value in enumerate(desk.values, start=1):
        await desk.write(value)
        assert peer.writes() == number
        assert peer.written() == value
        assert await desk.driver.read_target(desk.target) == value
    assert peer.writes() == 2


async def test_a_simulator_tells_of_every_request_to_write(peer: Peer, desk: Desk) -> None:
    """What shows over all tests that nothing was written (tests/conftest.py)."""
    tally = Path(os.environ[VARIABLE])
    before = tally.stat().st_size
    await desk.write(desk.values[0])
    assert tally.read_bytes()[before:].decode().startswith(f"{peer.driver}: ")


async def test_writes_and_reads_in_turn_get_their_own_answers(peer: Peer, desk: Desk) -> None:
    for turn in range(6):
        await desk.write(desk.values[turn % 2])
        for index in (0, 1):
            assert (await desk.bench.whole(desk.bench.plans[index])).row == peer.row(index)
        assert await desk.driver.read_target(desk.target) == desk.values[turn % 2]
    assert peer.writes() == 6


async def test_a_refused_write_says_so_and_changes_nothing(peer: Peer, desk: Desk) -> None:
    await desk.write(desk.values[0])
    peer.refuse_writes()
    with pytest.raises(WriteRefused, match=r"\w"):
        await desk.write(desk.values[1])
    peer.answer_again()
    assert peer.written() == desk.values[0]
    assert peer.writes() == 2
    assert (await desk.bench.heal(desk.bench.plans[0])).row == peer.row(0)


async def test_a_write_whose_answer_is_lost_is_unknown_and_was_sent_once(peer: Peer, desk: Desk) -> None:
    peer.lose_write_reply()
    with pytest.raises(WriteUnknown, match=r"\w"):
        await desk.write(desk.values[0])
    for index in (0, 1):
        assert (await desk.bench.heal(desk.bench.plans[index])).row == peer.row(index)
    assert peer.writes() == 1
    assert peer.written() == desk.values[0]


async def test_a_cancelled_write_harms_no_later_call_and_is_not_sent_again(peer: Peer, desk: Desk) -> None:
    peer.lose_write_reply()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(desk.write(desk.values[0]))
        await until(lambda: peer.writes() == 1)
        task.cancel()
    for index in (0, 1):
        assert (await desk.bench.heal(desk.bench.plans[index])).row == peer.row(index)
    assert peer.writes() == 1


async def test_without_a_link_nothing_is_sent(peer: Peer, desk: Desk) -> None:
    await desk.bench.driver.close()
    with pytest.raises(NotConnected):
        await desk.write(desk.values[0])
    assert peer.writes() == 0


async def test_the_whole_way_from_the_allow_list_to_the_peer_and_back(peer: Peer, tmp_path: Path) -> None:
    """A permit of this driver's tag, a write between the polls of the real poller, and reading it back."""
    assert peer.write_target is not None
    group = {**peer.write_target.group, "interval": "10s"}
    bench = Bench(peer, [group])
    wanted = peer.write_target.values[0]
    tag = bench.plans[0].schema.tags[0]
    value = shown(tag, wanted)
    name = f"{bench.settings.name}.{tag.name}"
    document = Document.model_validate(
        {"agent": {"id": "a"}, "writes": {"allow": [{"tag": name, "values": [value], "pin": "none"}]}}
    ).model_copy(update={"connections": [bench.settings]})
    pin = pin_of(*places(document)[name])
    assert str(group["tags"][0].get("address", "")) in pin
    entry = document.writes.allow[0].model_copy(update={"pin": pin})
    document = document.model_copy(update={"writes": document.writes.model_copy(update={"allow": [entry]})})
    permits = permits_of(document, {bench.settings.name: "r"}, {bench.settings.driver: bench.spec})
    permits = pickle.loads(pickle.dumps(permits))  # it is made in a child process
    workshop = Workshop(SystemClock(), _Nowhere())
    poller, _ = build_poller(blueprint(bench.settings, bench.spec), bench.spec, workshop)
    poller.errands.awaited = True
    journal = WriteJournal(tmp_path / "writes.jsonl")
    events: list[Event] = []
    writer = Writer(
        lambda: Rules(permits, 0.0), lambda _: poller.writing, journal, SystemClock(), events.append
    )
    task = asyncio.create_task(poller.run())
    try:
        await until(lambda: poller.report().state == "connected")
        report = await writer.write(WriteOrder(tag=name, value=value, by="ada"), 5.0)
        assert (report.state, report.message) == ("confirmed", "")
        assert (peer.written(), peer.writes(), len(events)) == (wanted, 1, 1)
        refused = await writer.write(WriteOrder(tag=name, value=peer.write_target.values[1]), 5.0)
        assert (refused.code, peer.writes()) == ("out_of_range", 1)
    finally:
        task.cancel()
        await asyncio.wait([task])


class _Nowhere:
    """Implements contracts.frames.FrameSink."""

    def append(self, schema: Schema, frame: Frame) -> None: ...
    def record(self, kind: Kind, record: dict[str, Any]) -> None: ...
    async def announce(self, schemas: list[Schema]) -> None: ...
