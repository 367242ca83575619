"""An agent to be attacked: the process that begins compromised workers, and that they are after.

It is a process of its own and not root, since an attack that gets through may kill it: `python -m
tests.crash.attacks.stand NAME=LAYER,LAYER …` prints for each column, in JSON, what each payload reached
(null: it was held), what the layers were, and what was seen from outside.
"""

import asyncio
import ctypes
import json
import os
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from edge_agent.hooks.errors import WorkerGone
from edge_agent.hooks.process import WorkerProcess
from tests.crash.attacks.nobody import become_nobody

HERE = Path(__file__).parent
COMPROMISED = str(HERE / "compromised.py")
CANARY = b"canaries"
EXEC_CODE = 42
SECONDS = 5.0
# What comes after it would find itself in a world where it may do anything.
LAST_OF_A_WORKER = ("user_namespace", "mount")


@asynccontextmanager
async def prey(directory: Path, touched: list[str]) -> AsyncIterator[dict[str, Any]]:
    """What a worker must not reach, and where it is."""
    canary = ctypes.create_string_buffer(CANARY, len(CANARY))
    for name in ("secret", "spare"):
        (directory / name).write_text("of nobody's concern")
    os.environ["HOLDFAST_SECRET"] = "of nobody's concern"

    def met(name: str) -> Any:
        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            touched.append(name)
            writer.close()

        return connected

    abstract = f"holdfast-{os.getpid()}"
    async with AsyncExitStack() as stack:
        tcp = await stack.enter_async_context(await asyncio.start_server(met("tcp"), "127.0.0.1", 0))
        for name, path in (("unix", str(directory / "unix")), ("abstract", "\0" + abstract)):
            await stack.enter_async_context(await asyncio.start_unix_server(met(name), path))
        with socket.socket(type=socket.SOCK_DGRAM) as udp:
            udp.bind(("127.0.0.1", 0))
            udp.setblocking(False)
            yield {
                "secret": str(directory / "secret"), "spare": str(directory / "spare"),
                "directory": str(directory), "unix": str(directory / "unix"), "abstract": abstract,
                "tcp": tcp.sockets[0].getsockname()[1], "udp": udp.getsockname()[1],
                "agent": os.getpid(), "group": os.getpgid(0), "address": ctypes.addressof(canary),
                "exec_code": EXEC_CODE,
            }  # fmt: skip
            try:
                udp.recv(10)
                touched.append("udp")
            except BlockingIOError:
                pass
    if canary.raw != CANARY:
        touched.append("memory")
    if (directory / "secret").read_text() != "of nobody's concern":
        touched.append("secret")
    touched.extend(sorted({path.name for path in directory.iterdir()} - {"secret", "spare", "unix"}))
    touched.extend(f"process {each}" for each in children())


def children() -> list[str]:
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()


async def attacked(layers: list[str], names: list[str], directory: Path) -> dict[str, Any]:
    """All payloads, one after the other; a worker that one of them ended is begun again."""
    touched: list[str] = []
    reached: dict[str, str | None] = {}
    ended: dict[str, str] = {}
    worker: WorkerProcess | None = None
    report: dict[str, str] = {}
    async with prey(directory, touched) as facts:
        for name in names:
            if worker is None or worker.fault is not None:
                worker = await WorkerProcess.start(layers=layers, entry=["-I", "-X", "utf8", COMPROMISED])
                report = worker.layers
            try:
                answer, _ = await worker.call(
                    {"attack": name, "facts": facts}, deadline_seconds=SECONDS, most_answer_bytes=0
                )
                reached[name] = answer.get("reached")
                if name in LAST_OF_A_WORKER:
                    worker.kill()
            except WorkerGone as gone:
                ended[name] = str(gone)
                reached[name] = str(gone) if f"code {EXEC_CODE}" in str(gone) else None
        if worker is not None:
            await worker.close()
    return {"layers": report, "reached": reached, "ended": ended, "touched": touched}


async def main() -> None:
    names = sys.argv[1].split(",")
    found: dict[str, Any] = {}
    for column in sys.argv[2:]:
        title, _, layers = column.partition("=")
        with tempfile.TemporaryDirectory() as directory:
            wanted = [each for each in layers.split(",") if each]
            found[title] = await attacked(wanted, names, Path(directory))
    print(json.dumps(found))


if __name__ == "__main__":
    become_nobody()
    asyncio.run(main())
