"""A box as a peer of the contract suite: a directory with a /proc whose files are pipes.

Whoever opens one waits until it is answered, as with a file of the kernel that hangs; so reads can be
counted, kept waiting and answered late. There is no link that could be refused or forgotten.
"""

import asyncio
import os
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from edge_agent.wire.frame import JsonValue
from tests.contract.peers.contract import Peer, WriteTarget

_TEXTS: Final = {
    "meminfo": "MemTotal: 4000 kB\nMemAvailable: 1000 kB\nSwapTotal: 200 kB\nSwapFree: 50 kB\n",
    "loadavg": "0.25 1.50 7.75 3/1234 99\n",
    "uptime": "1234.5 4321.0\n",
}  # fmt: skip
_HEAD: Final = "Inter-|   Receive\n face |bytes\n"
_LINE: Final = "  {}: 700 7 0 0 0 0 0 0 900 9 0 0 0 0 0 0\n"
_ONE: Final = {
    "memory:total": 4_096_000, "memory:used": 3_072_000, "swap:free": 51_200, "swap:used_percent": 75,
    "load:1m": 0.25, "load:5m": 1.5, "load:15m": 7.75,
}  # fmt: skip
_POLL_SECONDS: Final = 0.002


class HostPeer:
    driver = "host"
    timeout_seconds = 0.1
    connects = False
    subscribes = False
    source_times = False
    write_target: WriteTarget | None = None

    def __init__(self, root: Path) -> None:
        self._root = root
        self.address = str(root)
        self._silent = False
        self._late = 0
        self._lacks = ""
        self._requests = 0
        self._serving: asyncio.Task[None] | None = None
        self._waiting: list[tuple[float, str, int]] = []

    async def start(self) -> None:
        (self._root / "proc/net").mkdir(parents=True)
        for name in (*_TEXTS, "net/dev"):
            os.mkfifo(self._root / "proc" / name)
        self._serving = asyncio.create_task(self._serve())

    async def stop(self) -> None:
        if self._serving is None:
            return
        self._serving.cancel()
        await asyncio.gather(self._serving, return_exceptions=True)
        self._serving = None
        for _, _, pipe in self._waiting:
            os.close(pipe)
        self._waiting.clear()
        for name in (*_TEXTS, "net/dev"):
            (self._root / "proc" / name).unlink()
        (self._root / "proc/net").rmdir()
        (self._root / "proc").rmdir()

    async def _serve(self) -> None:
        now = asyncio.get_running_loop().time
        while True:
            for name in (*_TEXTS, "net/dev"):
                if (pipe := self._opened(self._root / "proc" / name)) is not None:
                    self._requests += 1
                    late = 1.5 * self.timeout_seconds if self._late else 0.0
                    self._late = max(0, self._late - 1)
                    self._waiting.append((now() + late, name, pipe))
            due = [] if self._silent else [each for each in self._waiting if each[0] <= now()]
            for each in due:
                self._waiting.remove(each)
                self._answer(each[1], each[2])
            await asyncio.sleep(_POLL_SECONDS)

    def _opened(self, path: Path) -> int | None:
        """Our end of the pipe, if somebody waits at the other; whoever comes next finds another pipe."""
        try:
            pipe = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:  # ENXIO: nobody reads
            return None
        fresh = path.with_name("fresh")
        os.mkfifo(fresh)
        fresh.replace(path)
        return pipe

    def _answer(self, name: str, pipe: int) -> None:
        interfaces = [each for each in ("eth0", "eth1", "eth2") if each != self._lacks]
        text = _TEXTS.get(name) or _HEAD + "".join(map(_LINE.format, interfaces))
        try:
            os.write(pipe, text.encode())
        except BrokenPipeError:
            pass  # nobody waits for it any more
        finally:
            os.close(pipe)

    def settings(self) -> dict[str, Any]:
        transport = {"root": str(self._root), "timeout": "100ms"}
        return {"name": "box", "driver": self.driver, "transport": transport}

    def groups(self) -> list[dict[str, Any]]:
        return [_group("one", list(_ONE)), _group("two", ["uptime:seconds"])]

    def bad_group(self) -> dict[str, Any]:
        self._lacks = "eth1"
        return _group("bad", [f"net:eth{number}:rx_bytes" for number in range(3)])

    def be_silent(self) -> None:
        self._silent = True

    def answer_again(self) -> None:
        self._silent = False
        self._lacks = ""

    def be_late_once(self) -> None:
        self._late += 1

    def freeze_connections(self) -> None:
        raise AssertionError("there are no connections")

    def requests(self) -> int:
        return self._requests

    def writes(self) -> int:
        return 0  # its files are pipes, of which the driver has the end that is read

    def source_ms(self, group: int) -> int | None:
        return None

    def refuse_writes(self) -> None:
        raise AssertionError("nothing is written to a box")

    def lose_write_reply(self) -> None:
        raise AssertionError("nothing is written to a box")

    def kill_subscriptions(self) -> None:
        raise AssertionError("a box sends nothing")

    def change(self, values: Sequence[JsonValue]) -> None:
        raise AssertionError("a box sends nothing")

    def written(self) -> JsonValue:
        raise AssertionError("nothing is written to a box")

    def row(self, group: int) -> bytes:
        values = list(_ONE.values()) if group == 0 else [1234.5]
        return struct.pack(f"<{len(values)}d", *values)


def _group(name: str, addresses: list[str]) -> dict[str, Any]:
    tags = [{"name": address, "address": address} for address in addresses]
    return {"name": name, "interval": "1s", "tags": tags}


PEERS: dict[str, Callable[[Path], Peer]] = {"host": lambda directory: HostPeer(directory / "root")}
