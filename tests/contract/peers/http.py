"""An HTTP server as a peer of the contract suite: plain sockets, to be silent, late and forgetful."""

import asyncio
import json
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from edge_agent.wire.frame import JsonValue
from tests.contract.peers.contract import Peer, WriteTarget

# Three documents; the first group takes two of them.
_TIMES: Final = (1_795_269_600_000, 1_795_269_600_500)
_DOCUMENTS: Final[dict[str, dict[str, Any]]] = {
    "/one": {"at": "2026-11-21T14:00:00Z", "values": [7.5 * place for place in range(20)]},
    "/more": {"at": 1795269600, "deep": {f"a/{place}": place - 10 for place in range(20)}},
    "/two": {"at": 1795269600500, "values": [1000 + place for place in range(30)]},
    "/bad": {"first": 3.25, "second": 4.0, "third": 4.5},
}


class HttpPeer:
    driver = "http"
    timeout_seconds = 0.1
    connects = True
    subscribes = False
    source_times = True
    write_target: WriteTarget | None = None
    address = "127.0.0.1"

    def __init__(self) -> None:
        self._server: asyncio.Server | None = None
        self._port = 0
        self._links: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._frozen: set[asyncio.StreamWriter] = set()
        self._silent = False
        self._late = 0
        self._requests = 0
        self._writes = 0
        self._without = ""

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is None:
            return
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()
        self._server = None

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._links.add(writer)
        try:
            await self._serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the task ends either way: the suite's loop shall not log it
        finally:
            writer.close()
            self._links.discard(writer)
            self._frozen.discard(writer)
            self._tasks.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            if writer in self._frozen:
                continue
            self._requests += 1
            self._writes += not head.startswith(b"GET ")
            if self._silent:
                continue
            if self._late:
                self._late -= 1
                await asyncio.sleep(1.5 * self.timeout_seconds)
            writer.write(_answer(head.split(b" ")[1].decode(), self._without))
            await writer.drain()

    def settings(self) -> dict[str, Any]:
        transport = {"url": f"http://127.0.0.1:{self._port or 1}", "timeout": "100ms"}
        return {"name": "meter", "driver": self.driver, "transport": transport}

    def groups(self) -> list[dict[str, Any]]:
        first = [{"name": f"a{place}", "address": f"/values/{place}"} for place in range(20)]
        first += [
            {"name": f"b{place}", "path": "/more", "address": f"/deep/a~1{place}"} for place in range(20)
        ]
        second = [{"name": f"c{place}", "address": f"/values/{place}"} for place in range(30)]
        return [
            {**_group("one", "/one", first), "time": "/at"},
            {**_group("two", "/two", second), "time": "/at"},
        ]

    def bad_group(self) -> dict[str, Any]:
        self._without = "second"
        names = ("first", "second", "third")
        return _group("bad", "/bad", [{"name": name, "address": f"/{name}"} for name in names])

    def be_silent(self) -> None:
        self._silent = True

    def answer_again(self) -> None:
        self._silent = False
        self._without = ""

    def be_late_once(self) -> None:
        self._late += 1

    def freeze_connections(self) -> None:
        self._frozen |= self._links

    def requests(self) -> int:
        return self._requests

    def writes(self) -> int:
        return self._writes

    def source_ms(self, group: int) -> int | None:
        return _TIMES[group]

    def refuse_writes(self) -> None:
        raise AssertionError("the driver writes nothing")

    def lose_write_reply(self) -> None:
        raise AssertionError("the driver writes nothing")

    def kill_subscriptions(self) -> None:
        raise AssertionError("a server sends nothing by itself")

    def change(self, values: Sequence[JsonValue]) -> None:
        raise AssertionError("a server sends nothing by itself")

    def written(self) -> JsonValue:
        raise AssertionError("the driver writes nothing")

    def row(self, group: int) -> bytes:
        if group == 0:
            values = [*(7.5 * place for place in range(20)), *(place - 10 for place in range(20))]
        else:
            values = [1000 + place for place in range(30)]
        return struct.pack(f"<{len(values)}d", *values)


def _answer(path: str, without: str) -> bytes:
    document = _DOCUMENTS.get(path)
    shown = {name: value for name, value in (document or {}).items() if name != without}
    body = json.dumps(shown).encode()
    status = "200 OK" if document is not None else "404 Not Found"
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def _group(name: str, path: str, tags: list[dict[str, str]]) -> dict[str, Any]:
    return {"name": name, "interval": "1s", "path": path, "tags": tags}


PEERS: dict[str, Callable[[Path], Peer]] = {"http": lambda _: HttpPeer()}
