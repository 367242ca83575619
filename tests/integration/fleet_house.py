"""A running fleet of one: centre, agent and PLCs as processes, with a token of every kind."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from edge_agent.demo.children import output_of
from tests.crash.rig import DEVICE, Rig, until

CONNECTIONS = 2
TAGS = 4
TAG = "t0"
CONNECTION = "plc00"


@dataclass(frozen=True)
class FleetHouse:
    """tokens: admin, engineer, operator, viewer, device. directory: for the files of a test."""

    rig: Rig
    url: str
    tokens: dict[str, str]
    directory: Path


@asynccontextmanager
async def fleet_house(directory: Path, settings: str = "") -> AsyncIterator[FleetHouse]:
    """Once it yields, values have arrived at the centre. settings: of the centre's file, as YAML."""
    async with Rig(directory, CONNECTIONS, TAGS) as rig:
        file = directory / "central.yaml"
        file.write_text(settings)
        rig.extend_centre("--config", str(file))
        tokens: dict[str, str] = {}
        for role in ("admin", "engineer", "operator", "viewer"):
            tokens[role] = await _token(rig, "--role", role)
        tokens["device"] = await _token(rig, "--device", DEVICE)
        await rig.start_centre()
        await rig.start_agent()

        async def has_values() -> bool:
            return (await rig.api.account()).samples > 0

        await until(has_values, 30)
        yield FleetHouse(rig, rig.url, tokens, directory)


async def _token(rig: Rig, *arguments: str) -> str:
    return await output_of("central_sync", "token", "create", "--data", str(rig.central_data), *arguments)


async def run(*arguments: str | Path, cwd: Path, seconds: float) -> tuple[int, str]:
    """Exit code and all that a program says. Raises TimeoutError, and the program is gone then."""
    process = await asyncio.create_subprocess_exec(
        *map(str, arguments),
        cwd=cwd,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(seconds):
            said, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    return process.returncode or 0, said.decode(errors="replace")
