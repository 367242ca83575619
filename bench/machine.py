"""Which machine, software and commit a figure belongs to."""

import os
import platform
import sqlite3
import subprocess
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Hardware:
    cpu: str
    cores: int
    kernel: str
    python: str
    uvloop: str | None
    sqlite: str


@dataclass(frozen=True, slots=True)
class Machine:
    """load: the load average of the last minute, before anything was measured. commit: `+` stands for
    changes that are not committed."""

    hardware: Hardware
    commit: str
    load: float


def describe() -> Machine:
    hardware = Hardware(
        _cpu(), os.cpu_count() or 0, platform.release(), platform.python_version(), _version("uvloop"),
        sqlite3.sqlite_version,
    )  # fmt: skip
    return Machine(hardware, _commit(), round(os.getloadavg()[0], 2))


def _cpu() -> str:
    for text in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = text.partition(":")
        if name.strip() in ("model name", "Model"):
            return value.strip()
    return platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str:
    try:
        commit = _git("rev-parse", "--short=12", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit + ("+" if changed else "")


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout.strip()
