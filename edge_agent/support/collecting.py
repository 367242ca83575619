"""Runs the collectors side by side: one that fails or hangs is noted, and the others go on."""

import asyncio
import subprocess
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from edge_agent.support.archive import LeftOut, Piece

EACH_SECONDS: Final = 20.0
_COMMAND_SECONDS: Final = 8.0
_MAX_OUTPUT_BYTES: Final = 8 << 20


class Absent(Exception):
    """There is nothing to collect here. The message says why."""


@dataclass(frozen=True, slots=True)
class Collector:
    """Brings the text of one file. Raises Absent, or whatever goes wrong."""

    name: str
    about: str
    collect: Callable[[], Awaitable[str]]
    newest_last: bool = False


async def collect(
    collectors: Iterable[Collector], seconds: float = EACH_SECONDS
) -> tuple[list[Piece], list[LeftOut]]:
    """In the order of the collectors. seconds: for each."""
    results = await asyncio.gather(*(_one(collector, seconds) for collector in collectors))
    pieces = [result for result in results if isinstance(result, Piece)]
    return pieces, [result for result in results if isinstance(result, LeftOut)]


async def _one(collector: Collector, seconds: float) -> Piece | LeftOut:
    try:
        async with asyncio.timeout(seconds):
            text = await collector.collect()
    except TimeoutError:
        why = f"not collected within {seconds:g} s"
    except Absent as error:
        why = str(error)
    except Exception as error:  # noqa: BLE001 - a bundle is wanted most where things go wrong
        why = f"{type(error).__name__}: {error}"
    else:
        return Piece(collector.name, collector.about, text, collector.newest_last)
    return LeftOut(collector.name, collector.about, why)


def output_of(command: Sequence[str]) -> str:
    """What a program of this machine prints. Blocks. Raises Absent where it is not there or fails."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_COMMAND_SECONDS, check=False
        )
    except FileNotFoundError:
        raise Absent(f"there is no {command[0]} on this machine") from None
    except subprocess.TimeoutExpired:
        raise Absent(f"{command[0]} took longer than {_COMMAND_SECONDS:g} s") from None
    text = done.stdout[-_MAX_OUTPUT_BYTES:].decode("utf-8", "replace")
    if done.returncode != 0 and not text.strip():
        said = done.stderr[:300].decode("utf-8", "replace").strip()
        raise Absent(f"{command[0]} ended with {done.returncode}: {said}")
    return text
