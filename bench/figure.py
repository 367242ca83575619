"""What a figure is, and what it says: one JSON line."""

import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from bench.machine import Machine

WINDOWS: Final = 5


@dataclass(frozen=True, slots=True)
class Order:
    """What one run of a figure is to do.

    seconds: how long to measure, all windows together; warm-up, preparation and judging come on top.
    quick: the shortest form whose ratio is still steady. directory: on a real file system, and the
    figure's own; it is removed afterwards.
    """

    seconds: float
    quick: bool
    directory: Path


@dataclass(frozen=True, slots=True)
class Beside:
    """The peer, or the limit, measured in the same run. ratio: the figure's value over this one's."""

    what: str
    value: float | None
    unit: str
    ratio: float | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """value: None where it could not be measured; `details["reason"]` says why. met: None without a goal."""

    name: str
    value: float | None
    unit: str
    goal: str
    met: bool | None
    how: str
    beside: Beside | None = None
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Figure:
    """One measurement. run: may tell several outcomes, the first of which has the figure's name.

    quick_seconds: its length with --quick; None: too slow or too restless for a quick run.
    """

    name: str
    seconds: float
    run: Callable[[Order], Awaitable[Sequence[Outcome]]]
    quick_seconds: float | None = None


def line(outcome: Outcome, machine: Machine, seconds: float) -> bytes:
    """The JSON line of an outcome, without its newline."""
    record = asdict(outcome) | {
        "machine": asdict(machine.hardware),
        "commit": machine.commit,
        "load_before": machine.load,
        "took_seconds": round(seconds, 1),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    return orjson.dumps(record)


def progress(text: str) -> None:
    """To people, on standard error: standard output has the JSON lines alone."""
    print(f"  {text}", file=sys.stderr, flush=True)
