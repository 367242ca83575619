"""An OPC UA server as a peer of the contract suite: with groups that are polled, and with subscriptions."""

import struct
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edge_agent.wire.frame import JsonValue
from tests.contract.peers.contract import Peer, WriteTarget

_AT_MS = 1_700_000_000_250
_NUMBERS = 20
_WORDS = 5
_ABSENT = "ns=1;s=absent"


class OpcUaPeer:
    """Values do not move by themselves; all of them have one source time."""

    driver = "opcua"
    timeout_seconds = 0.15
    connects = True
    address = "127.0.0.1"
    source_times = True
    write_target = WriteTarget(
        {
            "name": "written", "interval": "1s", "mode": "poll",
            "tags": [{"name": "w", "address": "ns=1;s=w", "type": "int32"}],
        },
        (-123_456, 7),
    )  # fmt: skip

    def __init__(self, mode: str) -> None:
        from asyncua import ua

        from tests.contract.opcua_server import OpcUaServer

        self.subscribes = mode == "subscribe"
        self._mode = mode
        self._type = ua.VariantType
        self._variant = ua.Variant
        values = {f"ns=1;s=n{i}": ua.Variant(_number(i), ua.VariantType.Double) for i in range(_NUMBERS)}
        values |= {f"ns=1;i={i}": ua.Variant(1_000 + i, ua.VariantType.UInt16) for i in range(_WORDS)}
        values["ns=1;s=w"] = ua.Variant(0, ua.VariantType.Int32)
        self._server = OpcUaServer(values, datetime.fromtimestamp(_AT_MS / 1000, UTC))

    async def start(self) -> None:
        await self._server.start()

    async def stop(self) -> None:
        await self._server.stop()

    def settings(self) -> dict[str, Any]:
        url = f"opc.tcp://127.0.0.1:{self._server.port or 1}"
        return {
            "name": "plc",
            "driver": self.driver,
            "transport": {"url": url, "timeout": f"{self.timeout_seconds * 1000:g}ms"},
            "max_nodes": 15,  # two requests for the first group
        }

    def groups(self) -> list[dict[str, Any]]:
        numbers = [f"nsu=urn:holdfast:contract;s=n{i}" for i in range(_NUMBERS)]
        words = [f"ns=1;i={i}" for i in range(_WORDS)]
        return [self._group("one", numbers, "float64"), self._group("two", words, "uint16")]

    def bad_group(self) -> dict[str, Any]:
        return self._group("bad", ["ns=1;s=n1", _ABSENT, "ns=1;s=n2"], "float64")

    def _group(self, name: str, addresses: Sequence[str], type_: str) -> dict[str, Any]:
        tags = [{"name": f"t{i}", "address": each, "type": type_} for i, each in enumerate(addresses)]
        return {"name": name, "interval": "20ms", "mode": self._mode, "tags": tags}

    def be_silent(self) -> None:
        self._server.mute = True

    def answer_again(self) -> None:
        self._server.mute = self._server.refuses_writes = False
        self._server.values[_ABSENT] = self._variant(1.5, self._type.Double)

    def be_late_once(self) -> None:
        self._server.delay_once = 1.5 * self.timeout_seconds

    def freeze_connections(self) -> None:
        self._server.freeze()

    def refuse_writes(self) -> None:
        self._server.refuses_writes = True

    def lose_write_reply(self) -> None:
        self._server.loses_write_reply = True

    def kill_subscriptions(self) -> None:
        self._server.kill_subscriptions()

    def change(self, values: Sequence[JsonValue]) -> None:
        for value in values:
            self._server.changed("ns=1;s=n0", self._variant(value, self._type.Double))

    def requests(self) -> int:
        return self._server.requests

    def writes(self) -> int:
        return self._server.writes

    def row(self, group: int) -> bytes:
        if group == 0:
            return struct.pack(f"<{_NUMBERS}d", *map(_number, range(_NUMBERS)))
        return struct.pack(f"<{_WORDS}H", *range(1_000, 1_000 + _WORDS))

    def written(self) -> JsonValue:
        held: JsonValue = self._server.values["ns=1;s=w"].Value
        return held

    def source_ms(self, group: int) -> int | None:
        return _AT_MS


def _number(place: int) -> float:
    return 1.5 * place + 0.25


PEERS: dict[str, Callable[[Path], Peer]] = {
    "opcua-poll": lambda _: OpcUaPeer("poll"),
    "opcua-subscribe": lambda _: OpcUaPeer("subscribe"),
}
