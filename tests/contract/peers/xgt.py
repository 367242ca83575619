"""The XGT simulator as a peer of the contract suite."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edge_agent.wire.frame import JsonValue
from tests.contract.peers.contract import Peer, WriteTarget

_WRITTEN = 3000
_BAD_BYTE = 2 * 2001
# What the simulator's formula says of D at tick 0.
_D = 1009 * "PMKFTCLNDUZRIQW".index("D")


class XgtPeer:
    """The XGT simulator; values do not move, because its clock stands still."""

    driver = "xgt"
    timeout_seconds = 0.1
    subscribes = False
    source_times = False
    address = "127.0.0.1"

    def __init__(self, transport: str) -> None:
        from edge_agent.drivers.xgt.simulator.server import Simulator, SimulatorConfig

        self.connects = transport == "tcp"
        self._transport = transport
        self._simulator = Simulator(SimulatorConfig(wall_ms=lambda: 0, writable=True))
        tag = {"name": "set", "address": f"%DW{_WRITTEN}"}
        group = {"name": "out", "interval": "1s", "tags": [tag]}
        self.write_target: WriteTarget | None = WriteTarget(group, (1234, 4321))

    async def start(self) -> None:
        await self._simulator.start()

    async def stop(self) -> None:
        await self._simulator.stop()

    def settings(self) -> dict[str, Any]:
        port = self._simulator.tcp_port if self.connects else self._simulator.udp_port
        timeout = f"{self.timeout_seconds * 1000:g}ms"
        transport = {"type": self._transport, "host": "127.0.0.1", "port": port or 1, "timeout": timeout}
        return {"name": "plc", "driver": self.driver, "transport": transport}

    def groups(self) -> list[dict[str, Any]]:
        # Two requests for the first group: more than 1,400 bytes.
        return [_words("one", range(800)), _words("two", range(1000, 1125))]

    def bad_group(self) -> dict[str, Any]:
        from edge_agent.drivers.xgt.simulator.faults import Fault, FaultKind

        ranges = ((_BAD_BYTE, _BAD_BYTE + 1),)
        self._simulator.faults.add(Fault(FaultKind.REFUSE, code=4, area="D", ranges=ranges))
        return _words("bad", range(2000, 2003))

    def be_silent(self) -> None:
        from edge_agent.drivers.xgt.simulator.faults import Fault, FaultKind

        self._simulator.faults.add(Fault(FaultKind.SILENCE))

    def answer_again(self) -> None:
        self._simulator.faults.clear()

    def be_late_once(self) -> None:
        from edge_agent.drivers.xgt.simulator.faults import Fault, FaultKind

        self._simulator.faults.add(Fault(FaultKind.DELAY, seconds=1.5 * self.timeout_seconds, times=1))

    def freeze_connections(self) -> None:
        self._simulator.freeze_connections()

    def refuse_writes(self) -> None:
        from edge_agent.drivers.xgt.simulator.faults import Fault, FaultKind

        self._simulator.faults.add(Fault(FaultKind.REFUSE, code=4, writes=True))

    def lose_write_reply(self) -> None:
        from edge_agent.drivers.xgt.simulator.faults import Fault, FaultKind

        self._simulator.faults.add(Fault(FaultKind.LOST_REPLY, writes=True, times=1))

    def kill_subscriptions(self) -> None:
        raise AssertionError("XGT has no subscriptions")

    def change(self, values: Sequence[JsonValue]) -> None:
        raise AssertionError("XGT sends nothing by itself")

    def requests(self) -> int:
        return self._simulator.counters.requests

    def writes(self) -> int:
        return self._simulator.counters.write_requests

    def written(self) -> JsonValue:
        return int.from_bytes(self._simulator.held("D", 2 * _WRITTEN, 2), "little")

    def source_ms(self, group: int) -> int | None:
        return None

    def row(self, group: int) -> bytes:
        numbers = (range(800), range(1000, 1125))[group]
        return b"".join((31 * number + _D & 0xFFFF).to_bytes(2, "little") for number in numbers)


def _words(name: str, numbers: range) -> dict[str, Any]:
    tags = [{"name": f"t{number}", "address": f"%DW{number}"} for number in numbers]
    return {"name": name, "interval": "1s", "tags": tags}


PEERS: dict[str, Callable[[Path], Peer]] = {
    "xgt-tcp": lambda _: XgtPeer("tcp"),
    "xgt-udp": lambda _: XgtPeer("udp"),
}
