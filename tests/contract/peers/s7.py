"""The S7 simulator as a peer of the contract suite."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge_agent.wire.frame import JsonValue
from tests.contract.peers.contract import Peer, WriteTarget
from tests.contract.peers.polled import PolledPeer

_WRITTEN = 3000


class S7Peer(PolledPeer):
    """The S7 simulator; values do not move, because its clock stands still. jobs: that it takes at once."""

    driver = "s7"
    address = "127.0.0.1"
    connects = True

    def __init__(self, jobs: int) -> None:
        from edge_agent.drivers.s7.simulator.faults import Fault
        from edge_agent.drivers.s7.simulator.server import Simulator, SimulatorConfig

        super().__init__(Simulator(SimulatorConfig(jobs=jobs, wall_ms=lambda: 0, writable=True)), Fault.of)
        self.write_target: WriteTarget | None = WriteTarget(
            {"name": "out", "interval": "1s", "tags": [{"name": "set", "address": f"DB9.DBW{_WRITTEN}"}]},
            (1234, 4321),
        )

    def settings(self) -> dict[str, Any]:
        port = self._simulator.ports[0] if self._simulator.ports else 1
        timeout = f"{self.timeout_seconds * 1000:g}ms"
        return {
            "name": "plc",
            "driver": self.driver,
            "transport": {"host": self.address, "port": port, "timeout": timeout},
        }

    def groups(self) -> list[dict[str, Any]]:
        # Two requests for the first group: more than a message of 480 bytes holds.
        return [_words("one", 1, range(0, 600, 2)), _words("two", 2, range(100, 300, 2))]

    def bad_group(self) -> dict[str, Any]:
        self.fail("item", code=0x05, area="DB", db=3, start=2, end=4)
        return _words("bad", 3, range(0, 6, 2))

    def refuse_writes(self) -> None:
        self.fail("item", code=0x03, writes=True)

    def written(self) -> JsonValue:
        return int.from_bytes(self._simulator.memory.read("DB", 9, _WRITTEN, 2, 0))

    def row(self, group: int) -> bytes:
        db, addresses = ((1, range(0, 600, 2)), (2, range(100, 300, 2)))[group]
        return b"".join(((31 * (at // 2) + 101 * db + 4099 * 0x84) & 0xFFFF).to_bytes(2) for at in addresses)


def _words(name: str, db: int, addresses: range) -> dict[str, Any]:
    tags = [{"name": f"t{number}", "address": f"DB{db}.DBW{number}"} for number in addresses]
    return {"name": name, "interval": "1s", "tags": tags}


PEERS: dict[str, Callable[[Path], Peer]] = {
    "s7": lambda _: S7Peer(4),
    "s7-one-job": lambda _: S7Peer(1),
}
