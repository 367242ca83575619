"""Check `disk`: whether the buffer's directory takes data, for how long, and how fast it makes it durable."""

import os
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_agent.config.models import BufferSettings
from edge_agent.contracts.diagnosis import Finding, Outcome, failed, ok, warning
from edge_agent.contracts.figures import latency, size, span
from edge_agent.doctor.examination import Tell
from edge_agent.doctor.mounts import MEMORY_TYPES, NETWORK_TYPES, Mount, find_lock_holder, find_mount
from edge_agent.doctor.site import Site
from edge_agent.doctor.waiting import in_thread

NAME: Final = "disk"
_ROUNDS: Final = 8
_PROBE_BYTES: Final = 4096
_PROBE_SECONDS: Final = 4.0
# As the agent does it: commits take at most this share of the time, by longer intervals (docs/operations.md).
COMMIT_SHARE: Final = 20
FLOOR_SHARE: Final = 8
STALL_SECONDS: Final = 1.0
LEAST_INODES: Final = 100


@dataclass(frozen=True, slots=True)
class Space:
    """inodes: free ones; None where the file system has no limit. used_bytes: by the buffer already.
    total_bytes: of the file system."""

    free_bytes: int
    inodes: int | None
    used_bytes: int
    total_bytes: int


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that has the database. is_agent: the agent that answers on this config's socket."""

    pid: int
    is_agent: bool


def judge_mount(directory: Path, mount: Mount | None) -> list[Finding]:
    if mount is None:
        return [ok(f"{directory}")]
    if mount.is_read_only:
        return [
            failed(
                f"{mount.point} is mounted read-only",
                f"see `dmesg` for disk errors, then `mount -o remount,rw {mount.point}`; or set buffer.path",
            )
        ]
    text = f"{directory} is on {mount.type} ({mount.point})"
    elsewhere = "set buffer.path to a directory on a local disk"
    if mount.type in NETWORK_TYPES:
        return [warning(f"{text}: over the network, locks and commits are not to be relied on", elsewhere)]
    if mount.type in MEMORY_TYPES:
        return [warning(f"{text}: in memory, a power cut takes all of it", elsewhere)]
    if mount.type == "overlay":
        return [
            warning(
                f"{text}: gone with the container",
                "mount a volume and set buffer.path to a directory on it",
            )
        ]
    return [ok(text)]


def judge_space(space: Space, settings: BufferSettings) -> list[Finding]:
    found: list[Finding] = []
    # As the agent does it: on a small file system the floor is lower (docs/operations.md).
    free, floor = space.free_bytes, min(settings.min_free_bytes, space.total_bytes // FLOOR_SHARE)
    if free < floor:
        named = "" if floor == settings.min_free_bytes else ", here an eighth of the disk"
        found.append(
            failed(
                f"{size(free)} free, less than buffer.min_free_bytes ({size(floor)}{named})",
                "free some space, or lower buffer.min_free_bytes",
            )
        )
    elif free - floor + space.used_bytes < settings.max_bytes:
        room = size(free - floor + space.used_bytes)
        found.append(
            warning(
                f"{size(free)} free: the buffer may take {size(settings.max_bytes)} and has room for {room}",
                f"lower buffer.max_bytes to {room}, or free some space: else the disk cuts an outage short",
            )
        )
    else:
        found.append(ok(f"{size(free)} free"))
    if space.inodes is not None and space.inodes < LEAST_INODES:
        found.append(
            failed(f"{space.inodes} inodes left", "delete small files: the file system takes no new ones")
        )
    return found


def judge_flushes(seconds: list[float], flush_interval: float) -> list[Finding]:
    """seconds: what writes of one page took until they were durable."""
    if not seconds:
        return [warning(f"no write was durable within {span(_PROBE_SECONDS)}", _SLOW_REMEDY)]
    median, longest = statistics.median(seconds), max(seconds)
    text = f"a durable write takes {latency(median)}, at most {latency(longest)}"
    if median * COMMIT_SHARE > flush_interval:
        wanted = span(median * COMMIT_SHARE)
        return [
            warning(
                f"{text}: too slow for buffer.flush_interval {span(flush_interval)}",
                f"set buffer.flush_interval to {wanted} or more: the agent does so by itself, up to 10 s",
            )
        ]
    if longest > STALL_SECONDS:
        return [warning(f"{text}: it stalls", _SLOW_REMEDY)]
    share = 100 * median / flush_interval
    return [ok(f"{text}: {share:.1f} % of buffer.flush_interval {span(flush_interval)}")]


def judge_holder(holder: Holder | None) -> list[Finding]:
    if holder is None:
        return []
    if holder.is_agent:
        return [ok(f"the database is in use by the running agent (pid {holder.pid})")]
    return [
        warning(
            f"the database is in use by process {holder.pid}, which does not answer as this config's agent",
            f"see `ps -fp {holder.pid}`; a second agent does not start beside it",
        )
    ]


_SLOW_REMEDY: Final = "see `dmesg` for disk errors; a worn SD card does this: replace it"


class Disk:
    name = NAME
    needs = ("config",)
    seconds = 20.0

    async def run(self, site: Site, tell: Tell) -> None:
        began = time.monotonic()
        found = await in_thread(lambda: _look(site), self.seconds - 1)
        tell(Outcome(NAME, tuple(found), seconds=time.monotonic() - began))


def _look(site: Site) -> list[Finding]:
    settings, database = site.valid.buffer, site.database
    directory = database.parent
    existing = next(each for each in (directory, *directory.parents) if each.exists())
    found = judge_mount(directory, find_mount(existing))
    try:
        found += judge_space(_space(existing, database), settings)
    except OSError as error:
        found.append(failed(f"{existing}: {error.strerror}", _write_remedy(existing, error)))
    if existing == directory:
        found += _timed(directory, settings.flush_interval)
    elif os.access(existing, os.W_OK | os.X_OK):
        found.append(ok(f"{directory} will be made"))
    else:
        found.append(
            failed(f"{directory} is not there and cannot be made", f"make it: `mkdir -p {directory}`")
        )
    pid = find_lock_holder(database.with_name(f"{database.name}.lock"))
    agent = None if site.running is None else site.running.pid
    return found + judge_holder(None if pid is None else Holder(pid, pid == agent))


def _space(existing: Path, database: Path) -> Space:
    found = os.statvfs(existing)
    used = 0
    for name in (database.name, f"{database.name}-wal"):
        file = database.with_name(name)
        used += file.stat().st_size if file.exists() else 0
    inodes = found.f_favail if found.f_files else None
    return Space(found.f_bavail * found.f_frsize, inodes, used, found.f_blocks * found.f_frsize)


def _timed(directory: Path, flush_interval: float) -> list[Finding]:
    """Real writes of a page, each made durable, in the directory itself."""
    seconds: list[float] = []
    begun = time.monotonic()
    try:
        with tempfile.TemporaryFile(dir=directory, prefix=".doctor-", buffering=0) as file:
            while len(seconds) < _ROUNDS and time.monotonic() - begun < _PROBE_SECONDS:
                before = time.monotonic()
                file.write(os.urandom(_PROBE_BYTES))
                os.fsync(file.fileno())
                seconds.append(time.monotonic() - before)
    except OSError as error:
        return [failed(f"{directory} takes no file: {error.strerror}", _write_remedy(directory, error))]
    return judge_flushes(seconds, flush_interval)


def _write_remedy(directory: Path, error: OSError) -> str:
    if isinstance(error, PermissionError):
        return f"run this as root or the agent's user; if it is that: `chown USER {directory}`"
    return "free some space, and see `dmesg` for disk errors"
