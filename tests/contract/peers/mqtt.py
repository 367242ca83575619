"""A small MQTT broker with a publisher inside, as a peer of the contract suite: 3.1.1 and 5, QoS 0 and 1.

The publisher repeats one message of each group as it is all the time, as many devices do: that is what
shows that a subscription lives, since MQTT itself has no word for it.
"""

import asyncio
import contextlib
import json
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from edge_agent.wire.frame import JsonValue
from tests.contract.peers.contract import Peer

_TIMES: Final = (1_795_269_600_000, 1_795_269_600_500)
_REPEAT_SECONDS: Final = 0.03
_REPEATED: Final = ("one/19", "two/29", "bad/2")
_CONNECT, _SUBSCRIBE, _PINGREQ, _DISCONNECT = 1, 8, 12, 14


class _Client:
    """One connection to the broker."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.is_new = False
        self.filters: set[str] = set()
        self.is_frozen = False
        self.mid = 0

    def send(self, kind: int, body: bytes) -> None:
        if not self.writer.is_closing():
            self.writer.write(bytes([kind]) + _length(len(body)) + body)

    def publish(self, topic: str, payload: bytes, retained: bool) -> None:
        """With QoS 1."""
        self.mid = self.mid % 65_535 + 1
        head = struct.pack(">H", len(topic.encode())) + topic.encode() + struct.pack(">H", self.mid)
        self.send(0x32 | retained, head + (b"\0" if self.is_new else b"") + payload)


class MqttPeer:
    driver = "mqtt"
    timeout_seconds = 0.15
    connects = True
    subscribes = True
    source_times = True
    write_target = None
    address = "127.0.0.1"

    def __init__(self, version: str) -> None:
        self._version = version
        self._server: asyncio.Server | None = None
        self._port = 0
        self._clients: dict[asyncio.StreamWriter, _Client] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._silent = False
        self._refused = ""
        self._requests = 0
        self._publishes = 0
        self._held = {
            **{f"one/{n}": _message(3 * n + 1, _TIMES[0]) for n in range(20)},
            **{f"two/{n}": _message(5000 + 7 * n, _TIMES[1]) for n in range(30)},
            **{f"bad/{n}": _message(70 + n, _TIMES[0]) for n in range(3)},
        }

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]
        self._own(asyncio.create_task(self._repeat()))

    async def stop(self) -> None:
        if self._server is None:
            return
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()
        self._server = None

    def settings(self) -> dict[str, Any]:
        transport = {
            "host": "127.0.0.1", "port": self._port or 1, "version": self._version,
            "timeout": f"{self.timeout_seconds * 1000:g}ms", "keepalive": "1s",
        }  # fmt: skip
        return {"name": "broker", "driver": self.driver, "transport": transport}

    def groups(self) -> list[dict[str, Any]]:
        return [_group("one", 20), _group("two", 30)]

    def bad_group(self) -> dict[str, Any]:
        self._refused = "bad/1"
        return _group("bad", 3)

    def be_silent(self) -> None:
        self._silent = True

    def answer_again(self) -> None:
        self._silent = False
        self._refused = ""

    def be_late_once(self) -> None:
        raise AssertionError("not called where `subscribes`")

    def freeze_connections(self) -> None:
        for client in self._clients.values():
            client.is_frozen = True

    def refuse_writes(self) -> None:
        raise AssertionError("nothing is writable")

    def lose_write_reply(self) -> None:
        raise AssertionError("nothing is writable")

    def kill_subscriptions(self) -> None:
        for client in self._clients.values():
            client.filters.clear()

    def change(self, values: Sequence[JsonValue]) -> None:
        for n, value in enumerate(values, 1):
            self._held["one/0"] = _message(value, _TIMES[0] + n)
            self._to_all("one/0")

    def requests(self) -> int:
        return self._requests

    def writes(self) -> int:
        return self._publishes

    def row(self, group: int) -> bytes:
        name, count = (("one", 20), ("two", 30))[group]
        values = [json.loads(self._held[f"{name}/{n}"])["v"] for n in range(count)]
        return struct.pack(f"<{count}i", *values)

    def written(self) -> JsonValue:
        raise AssertionError("nothing is writable")

    def source_ms(self, group: int) -> int | None:
        return _TIMES[group]

    # --- the broker ------------------------------------------------------------------------------

    def _own(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _repeat(self) -> None:
        while True:
            await asyncio.sleep(_REPEAT_SECONDS)
            for topic in _REPEATED:
                self._to_all(topic)

    def _to_all(self, topic: str) -> None:
        if not self._silent:
            for client in self._clients.values():
                if topic in client.filters and not client.is_frozen:
                    client.publish(topic, self._held[topic], retained=False)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._own(task)
        client = self._clients[writer] = _Client(writer)
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                while await self._serve(client, reader):
                    pass
        except asyncio.CancelledError:
            return  # asyncio's server logs those that are cancelled
        finally:
            del self._clients[writer]
            writer.transport.abort()

    async def _serve(self, client: _Client, reader: asyncio.StreamReader) -> bool:
        """One packet. False after the last."""
        kind = (await reader.readexactly(1))[0] >> 4
        body = await reader.readexactly(await _read_length(reader))
        self._requests += kind in (_CONNECT, _SUBSCRIBE, _PINGREQ)
        self._publishes += kind == 3
        if self._silent or client.is_frozen:
            return True
        if kind == _CONNECT:
            client.is_new = body[6] == 5
            client.send(0x20, b"\0\0\0" if client.is_new else b"\0\0")
        elif kind == _PINGREQ:
            client.send(0xD0, b"")
        elif kind == _SUBSCRIBE:
            self._subscribe(client, body)
        return kind != _DISCONNECT

    def _subscribe(self, client: _Client, body: bytes) -> None:
        at = 2 + (1 + body[2] if client.is_new else 0)
        wanted: list[str] = []
        while at < len(body):
            size = int.from_bytes(body[at : at + 2])
            wanted.append(body[at + 2 : at + 2 + size].decode())
            at += 3 + size
        codes = bytes(0x80 if each == self._refused else 1 for each in wanted)
        client.send(0x90, body[:2] + (b"\0" if client.is_new else b"") + codes)
        for each in wanted:
            if each != self._refused:
                client.filters.add(each)
                client.publish(each, self._held[each], retained=True)


def _message(value: JsonValue, at_ms: int) -> bytes:
    return json.dumps({"v": value, "at": at_ms}).encode()


def _group(name: str, count: int) -> dict[str, Any]:
    tags = [
        {
            "name": f"t{n}", "topic": f"{name}/{n}", "pointer": "/v", "time": "/at", "type": "int32",
            "retained": "good",
        }
        for n in range(count)
    ]  # fmt: skip
    return {"name": name, "interval": "1s", "tags": tags}


def _length(size: int) -> bytes:
    made = bytearray()
    while size > 127:
        made.append(size & 127 | 128)
        size >>= 7
    made.append(size)
    return bytes(made)


async def _read_length(reader: asyncio.StreamReader) -> int:
    size = shift = 0
    while True:
        byte = (await reader.readexactly(1))[0]
        size |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return size


PEERS: dict[str, Callable[[Path], Peer]] = {
    "mqtt-3.1.1": lambda _: MqttPeer("3.1.1"),
    "mqtt-5": lambda _: MqttPeer("5"),
}
