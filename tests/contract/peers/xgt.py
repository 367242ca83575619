"""The XGT simulator as a peer of the contract suite."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge_agent.wire.frame import JsonValue
from tests.contract.peers.contract import Peer, WriteTarget
from tests.contract.peers.polled import PolledPeer

_WRITTEN = 3000
_BAD_BYTE = 2 * 2001
# What the simulator's formula says of D at tick 0.
_D = 1009 * "PMKFTCLNDUZRIQW".index("D")


class XgtPeer(PolledPeer):
    """The XGT simulator; values do not move, because its clock stands still."""

    driver = "xgt"
    address = "127.0.0.1"

    def __init__(self, transport: str) -> None:
        from edge_agent.drivers.xgt.simulator.faults import Fault
        from edge_agent.drivers.xgt.simulator.server import Simulator, SimulatorConfig

        self.connects = transport == "tcp"
        self._transport = transport
        super().__init__(Simulator(SimulatorConfig(wall_ms=lambda: 0, writable=True)), Fault.of)
        tag = {"name": "set", "address": f"%DW{_WRITTEN}"}
        group = {"name": "out", "interval": "1s", "tags": [tag]}
        self.write_target: WriteTarget | None = WriteTarget(group, (1234, 4321))

    def settings(self) -> dict[str, Any]:
        port = self._simulator.tcp_port if self.connects else self._simulator.udp_port
        timeout = f"{self.timeout_seconds * 1000:g}ms"
        transport = {"type": self._transport, "host": "127.0.0.1", "port": port or 1, "timeout": timeout}
        return {"name": "plc", "driver": self.driver, "transport": transport}

    def groups(self) -> list[dict[str, Any]]:
        # Two requests for the first group: more than 1,400 bytes.
        return [_words("one", range(800)), _words("two", range(1000, 1125))]

    def bad_group(self) -> dict[str, Any]:
        ranges = ((_BAD_BYTE, _BAD_BYTE + 1),)
        self.fail("refuse", code=4, area="D", ranges=ranges)
        return _words("bad", range(2000, 2003))

    def refuse_writes(self) -> None:
        self.fail("refuse", code=4, writes=True)

    def written(self) -> JsonValue:
        return int.from_bytes(self._simulator.held("D", 2 * _WRITTEN, 2), "little")

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
