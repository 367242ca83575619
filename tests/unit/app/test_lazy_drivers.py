"""An agent loads the libraries of the drivers that its config names, and of no others."""

import asyncio
import re
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml

LIBRARIES = ("asyncua", "snap7", "aiomqtt", "paho", "cryptography")
# Each cannot be reached, which is told of once its driver has done what it does first.
CONNECTIONS: dict[str, dict[str, Any]] = {
    "modbus": {
        "transport": {"type": "tcp", "host": "127.0.0.1", "port": 1},
        "groups": [{"name": "g", "interval": "1s", "tags": [{"name": "t", "address": "holding:0"}]}],
    },
    "mqtt": {
        "transport": {"host": "127.0.0.1", "port": 1},
        "groups": [{"name": "g", "interval": "1s", "tags": [{"name": "t", "topic": "a/b"}]}],
    },
}
_IMPORTED = re.compile(r"^import time:\s+\d+ \|\s+\d+ \|\s+(\S+)$", re.MULTILINE)


def imported(log: str) -> set[str]:
    """The packages that Python told of as it imported them (-X importtime)."""
    return {name.partition(".")[0] for name in _IMPORTED.findall(log)}


@asynccontextmanager
async def agent(directory: Path, drivers: list[str]) -> AsyncIterator[Callable[[], str]]:
    """A real agent, started as its unit starts it; gives what reads its log."""
    with tempfile.TemporaryDirectory(prefix="holdfast-lazy-", dir="/dev/shm") as runtime:
        document = {
            "agent": {"id": "lazy", "runtime_dir": runtime, "page_listen": None},
            "connections": [{"name": each, "driver": each, **CONNECTIONS[each]} for each in drivers],
        }
        (directory / "edge-agent.yaml").write_text(yaml.safe_dump(document))
        log = directory / "agent.log"
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-X", "importtime", "-m", "edge_agent", "run", "-c",
                str(directory / "edge-agent.yaml"), stdout=output, stderr=output,
            )  # fmt: skip
        try:
            yield lambda: log.read_text(errors="replace")
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
            await process.wait()


async def libraries_of(directory: Path, drivers: list[str]) -> set[str]:
    async with agent(directory, drivers) as log, asyncio.timeout(40):
        while not all(f'"connection": "{each}"' in log() for each in drivers):
            await asyncio.sleep(0.05)
        return imported(log()) & set(LIBRARIES)


async def test_an_agent_with_modbus_alone_loads_no_other_protocols_library(tmp_path: Path) -> None:
    assert await libraries_of(tmp_path, ["modbus"]) == set()


async def test_a_library_that_was_loaded_would_be_seen(tmp_path: Path) -> None:
    assert {"aiomqtt", "paho"} <= await libraries_of(tmp_path, ["modbus", "mqtt"])
