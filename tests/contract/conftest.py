"""The peers of the driver contract, each started, and a driver beside it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contract.driver_bench import Bench
from tests.contract.peers import PEERS, SUBSCRIBING, WRITING
from tests.contract.peers.contract import Peer


@pytest.fixture(params=PEERS)
async def peer(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Peer]:
    """One that writes or subscribes is in the lists of those that do: their tests run against these alone."""
    made = PEERS[request.param](tmp_path)
    assert (made.write_target is not None) == (request.param in WRITING)
    assert made.subscribes == (request.param in SUBSCRIBING)
    await made.start()
    yield made
    await made.stop()
    assert made.writes() == 0 or request.node.get_closest_marker("writes"), "a driver that only reads wrote"


@pytest.fixture
async def bench(peer: Peer) -> AsyncIterator[Bench]:
    made = Bench(peer, peer.groups())
    yield made
    await made.driver.close()
