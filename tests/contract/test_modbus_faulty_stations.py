"""Stations that close, die or refuse: each affects itself only, and little time is spent on it."""

from collections.abc import AsyncIterator

import pytest

from edge_agent.contracts.errors import NotConnected
from edge_agent.drivers.halving import PROBES_PER_READ, RETRY_SECONDS
from edge_agent.drivers.links import UNANSWERED_LIMIT
from edge_agent.wire.quality import Quality, QualityRun, whole
from tests.contract.modbus_peer import CLOSE, FRAMINGS, Bench, RawPeer, registers, silent


@pytest.fixture(params=FRAMINGS)
def framing(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def bench(framing: str) -> AsyncIterator[Bench]:
    peer = RawPeer(framing)
    await peer.start()
    made = Bench(peer)
    await made.driver.connect()
    yield made
    await made.driver.close()
    await peer.stop()


tcp_only = pytest.mark.parametrize("framing", ["tcp"])


async def test_a_plc_that_closes_after_every_reply_works(bench: Bench) -> None:
    peer = bench.peer
    peer.always = lambda request: [peer.honest_frame(request), CLOSE]
    long = bench.plan(range(400))
    for _ in range(3):
        reading = await bench.read_once(long)
        assert reading.row == registers(range(400))
        assert not reading.quality
    assert len(peer.requests) - 12 in range(5)  # a request that met the closing was sent once more


async def test_a_peer_that_closes_at_every_request_is_not_connected(bench: Bench) -> None:
    peer = bench.peer
    await bench.read_once(bench.low)
    before = peer.connections
    peer.always = lambda _request: [CLOSE]
    with pytest.raises(NotConnected):
        await bench.read_once(bench.low)
    assert peer.connections - before <= 1
    peer.always = None
    await bench.check_both()


async def test_one_dead_unit_leaves_the_others_alone(bench: Bench) -> None:
    """tb#458, #164, #494, telegraf#11782: one dead unit starves the bus. Here it costs one time-out."""
    peer = bench.peer
    dead = bench.plan(range(400), unit_id=9)
    unit_at = 6 if peer.is_tcp else 0
    peer.always = lambda request: [] if request[unit_at] == 9 else peer.honest(request)
    for _ in range(UNANSWERED_LIMIT + 1):
        before = len(peer.requests)
        assert (await bench.read(dead)).unanswered
        assert len(peer.requests) == before + 1
        reading = await bench.read(bench.low)
        assert reading.row == registers(range(10))
    if peer.names_replies:
        assert peer.connections == 1


async def test_a_gateway_without_its_station_counts_as_no_answer(bench: Bench) -> None:
    peer = bench.peer
    long = bench.plan(range(400))
    peer.scripts.extend([peer.honest, peer.refuse(11)])
    before = len(peer.requests)
    reading = await bench.read_once(long)
    assert reading.unanswered
    assert reading.quality == (QualityRun(125, 275, Quality.BAD_COMM),)
    assert reading.row == registers(range(125)) + bytes(2 * 275)
    assert len(peer.requests) == before + 2
    await bench.check_both()


@pytest.mark.parametrize("code", [4, 5, 6, 10, 99])
async def test_a_device_in_trouble_is_bad_device_for_that_request_alone(bench: Bench, code: int) -> None:
    peer = bench.peer
    peer.scripts.append(peer.refuse(code))
    reading = await bench.read_once(bench.plan(range(200)))
    assert reading.quality == (QualityRun(0, 125, Quality.BAD_DEVICE),)
    assert f"exception {code}" in str(reading.errors)
    assert not reading.unanswered
    await bench.check_both()


async def test_one_bad_tag_stops_no_other_and_costs_little(bench: Bench) -> None:
    """telegraf#8871, #13296: one bad node stops all."""
    peer = bench.peer
    peer.always = peer.lacks(70)
    made = bench.plan(range(125))
    for cycle in range(4):
        before = len(peer.requests)
        reading = await bench.read_once(made)
        assert reading.quality == (QualityRun(70, 1, Quality.BAD_CONFIG),)
        assert reading.row == registers(range(70)) + b"\0\0" + registers(range(71, 125))
        assert reading.errors == {"holding 70": "illegal data address (exception 2)"}
        asked = len(peer.requests) - before
        assert asked <= (16 if cycle == 0 else 2)
    bench.now += RETRY_SECONDS
    before = len(peer.requests)
    await bench.read_once(made)
    assert len(peer.requests) - before == 3
    peer.always = None
    bench.now += RETRY_SECONDS
    assert not (await bench.read_once(made)).quality
    await bench.read_once(made)
    before = len(peer.requests)
    assert not (await bench.read_once(made)).quality
    assert len(peer.requests) - before == 1


async def test_a_station_that_refuses_everything_is_found_out_step_by_step(bench: Bench) -> None:
    """Finding out must not hold up the other groups of the connection."""
    peer = bench.peer
    peer.always = peer.refuse(2)
    made = bench.plan(range(250))
    for _ in range(20):
        before = len(peer.requests)
        reading = await bench.read_once(made)
        assert reading.quality[0].first == 0
        assert sum(run.count for run in reading.quality) == 250
        assert len(peer.requests) - before <= PROBES_PER_READ + 2
    before = len(peer.requests)
    reading = await bench.read_once(made)
    assert reading.quality == whole(250, Quality.BAD_CONFIG)
    assert len(peer.requests) == before


async def test_a_tag_is_asked_again_after_a_reconnect(bench: Bench) -> None:
    peer = bench.peer
    peer.always = peer.lacks(3)
    assert (await bench.read_once(bench.low)).quality == (QualityRun(3, 1, Quality.BAD_CONFIG),)
    peer.always = None
    await bench.driver.connect()
    assert not (await bench.read_once(bench.low)).quality


@tcp_only
async def test_unanswered_requests_in_a_row_end_the_link(bench: Bench) -> None:
    peer = bench.peer
    peer.always = silent
    for _ in range(UNANSWERED_LIMIT):
        assert (await bench.read_once(bench.low)).unanswered
    with pytest.raises(NotConnected, match=f"{UNANSWERED_LIMIT} requests in a row were not answered"):
        await bench.read_once(bench.low)
    peer.always = None
    await bench.check_both()
