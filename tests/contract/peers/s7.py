"""The S7 simulator as a peer of the contract suite."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edge_agent.wire.frame import JsonValue
from tests.contract.peers.contract import Peer, WriteTarget

_WRITTEN = 3000


class S7Peer:
    """The S7 simulator; values do not move, because its clock stands still. jobs: that it takes at once."""

    driver = "s7"
    address = "127.0.0.1"
    timeout_seconds = 0.1
    connects = True
    subscribes = False
    source_times = False

    def __init__(self, jobs: int) -> None:
        from edge_agent.drivers.s7.simulator.server import Simulator, SimulatorConfig

        self._simulator = Simulator(SimulatorConfig(jobs=jobs, wall_ms=lambda: 0, writable=True))
        self.write_target: WriteTarget | None = WriteTarget(
            {"name": "out", "interval": "1s", "tags": [{"name": "set", "address": f"DB9.DBW{_WRITTEN}"}]},
            (1234, 4321),
        )

    async def start(self) -> None:
        await self._simulator.start()

    async def stop(self) -> None:
        await self._simulator.stop()

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
        from edge_agent.drivers.s7.simulator.faults import Fault, FaultKind

        self._simulator.faults.add(Fault(FaultKind.ITEM, code=0x05, area="DB", db=3, start=2, end=4))
        return _words("bad", 3, range(0, 6, 2))

    def be_silent(self) -> None:
        from edge_agent.drivers.s7.simulator.faults import Fault, FaultKind

        self._simulator.faults.add(Fault(FaultKind.SILENCE))

    def answer_again(self) -> None:
        self._simulator.faults.clear()

    def be_late_once(self) -> None:
        from edge_agent.drivers.s7.simulator.faults import Fault, FaultKind

        self._simulator.faults.add(Fault(FaultKind.DELAY, seconds=1.5 * self.timeout_seconds, times=1))

    def freeze_connections(self) -> None:
        self._simulator.freeze_connections()

    def refuse_writes(self) -> None:
        from edge_agent.drivers.s7.simulator.faults import Fault, FaultKind

        self._simulator.faults.add(Fault(FaultKind.ITEM, code=0x03, writes=True))

    def lose_write_reply(self) -> None:
        from edge_agent.drivers.s7.simulator.faults import Fault, FaultKind

        self._simulator.faults.add(Fault(FaultKind.LOST_REPLY, writes=True, times=1))

    def kill_subscriptions(self) -> None:
        raise AssertionError("S7 has no subscriptions")

    def change(self, values: Sequence[JsonValue]) -> None:
        raise AssertionError("the driver polls")

    def requests(self) -> int:
        return self._simulator.counters.requests

    def writes(self) -> int:
        return self._simulator.counters.write_requests

    def written(self) -> JsonValue:
        return int.from_bytes(self._simulator.memory.read("DB", 9, _WRITTEN, 2, 0))

    def source_ms(self, group: int) -> int | None:
        return None

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
