"""Runs targets, each in a process of its own that is watched: a death or a standstill is a finding too."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from tests.fuzz.record import Record
from tests.fuzz.trial import Finding
from tests.fuzz.worker import keep

_LOOK_SECONDS: Final = 0.2
STANDSTILL_SECONDS: Final = 60.0
# Python, its imports and their instrumentation come before the first input.
_START_SECONDS: Final = 120.0
_MOST_DEATHS: Final = 10


@dataclass(frozen=True, slots=True)
class Result:
    """inputs: how many were tried. findings: their files, of this run and of earlier ones in `directory`."""

    name: str
    engine: str
    inputs: int
    seconds: float
    findings: tuple[Path, ...]

    def __str__(self) -> str:
        return (
            f"{self.name}: {self.inputs:,} inputs in {self.seconds:,.0f} s with {self.engine}, "
            f"findings: {len(self.findings)}"
        )


def best_engine() -> str:
    """atheris leads by coverage, where it is installed."""
    return "mutation" if find_spec("atheris") is None else "atheris"


def fuzz(name: str, seconds: float, seed: int, directory: Path, engine: str) -> Result:
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{name}.record"
    path.unlink(missing_ok=True)
    record = Record(path)
    begun = time.monotonic()
    try:
        for death in range(_MOST_DEATHS):
            left = seconds - (time.monotonic() - begun)
            command = [sys.executable, "-m", "tests.fuzz.worker", name, f"{left:.1f}", str(seed + death)]
            fault = watch([*command, str(directory), engine], record, STANDSTILL_SECONDS)
            if fault is None:
                break
            keep(directory, name, fault)
        inputs = record.inputs
    finally:
        record.close()
        path.unlink(missing_ok=True)
    findings = tuple(sorted(directory.glob(f"{name}-*.bin")))
    return Result(name, engine, inputs, time.monotonic() - begun, findings)


def watch(
    command: Sequence[str], record: Record, standstill_seconds: float, start_seconds: float = _START_SECONDS
) -> Finding | None:
    """Runs a worker to its end. None where that was its own and a good one.

    start_seconds: what it may take until its first input is done.
    """
    worker = subprocess.Popen(command, start_new_session=True)
    first = last = record.inputs
    since = time.monotonic()
    try:
        while True:
            try:
                code = worker.wait(_LOOK_SECONDS)
            except subprocess.TimeoutExpired:
                now = time.monotonic()
                if record.inputs != last:
                    last, since = record.inputs, now
                limit = start_seconds if last == first else standstill_seconds
                if now - since <= limit:
                    continue
                text = f"no input was done within {limit:g} s"
                return Finding("hang", text, text, record.data)
            text = f"the process ended with code {code}"
            return Finding("crash", text, text, record.data) if code else None
    finally:
        if worker.poll() is None:
            os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()
