"""Collectors about the machine: what runs, on what, with which disks, addresses and clock."""

import contextlib
import os
import platform
import shutil
import sys
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import orjson

from edge_agent import __version__
from edge_agent.runtime import host
from edge_agent.runtime.clock import sync_state
from edge_agent.support.collecting import Absent, output_of

_JOURNAL_LINES: Final = 2_000
UNIT: Final = "edge-agent.service"


def as_json(value: Any) -> str:
    return orjson.dumps(value, default=str, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS).decode()


def versions() -> str:
    """This program, its Python and what is installed beside it."""
    packages = sorted(
        {(each.metadata["Name"] or "?", each.version) for each in metadata.distributions()},
        key=lambda pair: pair[0].lower(),
    )
    return as_json(
        {
            "edge_agent": __version__,
            "python": sys.version,
            "executable": sys.executable,
            "platform": platform.platform(),
            "machine": platform.machine(),
            "packages": dict(packages),
        }
    )


def machine(data: Path) -> str:
    """data: the directory of the buffer, or the nearest above it."""
    existing = next(each for each in (data, *data.parents) if each.exists())
    figures = host.HostMeter(existing).read()
    space = os.statvfs(existing)
    return as_json(
        {
            "os_release": _os_release(),
            "kernel": platform.release(),
            "cores": os.cpu_count(),
            "user": os.geteuid(),
            "groups": os.getgroups(),
            "host": figures.model_dump(),
            "data_directory": str(existing),
            "data_disk": shutil.disk_usage(existing)._asdict(),
            "data_inodes_free": space.f_favail,
            "clock_synchronised": sync_state(),
            "uptime_seconds": _uptime(),
        }
    )


def mounts() -> str:
    return output_of(["df", "-hT"]) + "\n" + Path("/proc/self/mountinfo").read_text(errors="replace")


def addresses() -> str:
    return output_of(["ip", "-brief", "address"]) + "\n" + output_of(["ip", "route"])


def clock() -> str:
    return output_of(["timedatectl"]) + "\n" + output_of(["timedatectl", "timesync-status"])


def journal(pid: int | None) -> str:
    """The unit's newest lines. pid: of the running agent, whose unit may have another name."""
    unit = UNIT if pid is None else _unit_of(pid) or UNIT
    lines = output_of(["journalctl", "--no-pager", "-o", "short-iso", "-n", str(_JOURNAL_LINES), "-u", unit])
    if "-- No entries --" in lines or not lines.strip():
        raise Absent(f"the journal has no entries of {unit}")
    return lines


def database_files(database: Path) -> str:
    """Sizes and owners of the agent's own files in the buffer's directory."""
    found = []
    own = (database.name, "central-config.json", "machine-id", "quarantine")
    for file in sorted(each for each in database.parent.glob("*") if each.name.startswith(own)):
        with contextlib.suppress(OSError):
            status = file.lstat()
            found.append(
                {
                    "name": file.name,
                    "bytes": status.st_size,
                    "mode": oct(status.st_mode),
                    "user": status.st_uid,
                    "changed": int(status.st_mtime * 1_000),
                }
            )
    return as_json({"directory": str(database.parent), "files": found[:500]})


def _os_release() -> dict[str, str]:
    try:
        return platform.freedesktop_os_release()
    except OSError:
        return {}


def _uptime() -> float | None:
    with contextlib.suppress(OSError, ValueError, IndexError):
        return float(Path("/proc/uptime").read_text().split()[0])
    return None


def _unit_of(pid: int) -> str | None:
    """By its control group: the last part that is a service."""
    with contextlib.suppress(OSError):
        text = Path(f"/proc/{pid}/cgroup").read_text()
        parts = [part for line in text.splitlines() for part in line.rpartition(":")[2].split("/")]
        return next((part for part in reversed(parts) if part.endswith(".service")), None)
    return None
