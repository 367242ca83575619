"""Scripts that a local file names or holds: read, bounded, and with the place of each for what a compiler
says of its lines. Nothing here compiles or runs one: that is done in the sandbox.
"""

import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from edge_agent.config.errors import Place, Problem
from edge_agent.config.hooks import HookSettings
from edge_agent.config.models import Document
from edge_agent.config.tree import Spot, locate
from edge_agent.wire.scripts import HOOKS_CONNECTION, MAX_SOURCE_BYTES, HookPoint, Script, covers

# What the extra `hooks` brings. The agent itself imports none of them but the one for schedules.
_LIBRARIES: Final = ("RestrictedPython", "pyseccomp", "cronsim")


@dataclass(frozen=True, slots=True)
class LocalScript:
    """place: of the file it is in, or of its settings where they hold the source."""

    script: Script
    place: Place
    has_file: bool

    def problem(self, message: str, line: int | None) -> Problem:
        """What is wrong with the script; `line` is of its source."""
        path = f"hooks.scripts[{self.script.name}]"
        if line is None:
            return Problem(self.place, path, message)
        if self.has_file:
            return Problem(Place(self.place.file, line), path, message)
        return Problem(self.place, f"{path}.source", f"line {line}: {message}")


@dataclass(slots=True)
class ReadScripts:
    """files: those that were read. problems: refuse the config."""

    scripts: list[LocalScript] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def read_scripts(document: Document, root: Any, directory: Path, place: Place) -> ReadScripts:
    """All of `hooks.scripts`. root: the tree that the document was made from. directory: what relative paths
    are relative to."""
    read = ReadScripts()
    if not document.hooks.scripts:
        return read
    section = locate(root, ("hooks", "scripts"), place)
    if lacking := lacking_library():
        read.problems.append(Problem(section.place, section.path, lacking))
        return read
    for index, settings in enumerate(document.hooks.scripts):
        spot = locate(section.value, (index,), section.place, section.path)
        found = [*_schedule_problems(settings, spot)]
        script = _script(settings, spot, directory, read, found)
        read.problems += found
        if script is not None and not found:
            read.scripts.append(script)
    for index, connection in enumerate(document.connections):
        if connection.name == HOOKS_CONNECTION:
            name = locate(root, ("connections", index, "name"), place)
            read.problems.append(Problem(name.place, name.path, name_taken()))
    return read


def name_taken() -> str:
    return f"the connection '{HOOKS_CONNECTION}' is that of computed tags where there are scripts: rename it"


def lacking_library(libraries: Sequence[str] = _LIBRARIES) -> str:
    """Why no script can be run with this installation; empty where it can."""
    for library in libraries:
        if find_spec(library) is None:
            return f"scripts need the library '{library}': pip install 'holdfast[hooks]'"
    return ""


def idle_scripts(document: Document, root: Any, place: Place) -> Iterator[Problem]:
    """Warnings: a centre's scripts that could not run here, and scripts of groups that there are not. Other
    groups may come from the centre."""
    managed = document.remote.manage
    if "hooks" in managed and (lacking := lacking_library()):
        spot = locate(root, ("remote", "manage", managed.index("hooks")), place)
        yield Problem(spot.place, spot.path, f"has no effect: {lacking}")
    if "connections" in managed:
        return
    groups = [
        (connection.name, group.name)
        for connection in document.connections
        for group in getattr(connection, "groups", ())
    ]
    for index, settings in enumerate(document.hooks.scripts):
        if not (settings.point.has_frames or settings.point is HookPoint.ON_CYCLE):
            continue
        for number, pattern in enumerate(settings.groups):
            if any(covers([pattern], *group) for group in groups) or pattern.startswith(
                f"{HOOKS_CONNECTION}."
            ):
                continue
            at = ("hooks", "scripts", index, "groups", number)
            spot = locate(root, at, place)
            yield Problem(spot.place, spot.path, f"no group is called '{pattern}': the script gets nothing")


def _script(
    settings: HookSettings, spot: Spot, directory: Path, read: ReadScripts, found: list[Problem]
) -> LocalScript | None:
    place = _inner(spot, "source").place
    source = settings.source
    if settings.file is not None:
        path = directory / settings.file
        place = Place(str(path))
        read.files.append(path)
        source, why = text_of(path)
        if why:
            at = _inner(spot, "file")
            found.append(Problem(at.place, at.path, f"{path} cannot be read: {why}"))
            return None
    assert source is not None, "one of file and source is given"
    if len(source.encode()) > MAX_SOURCE_BYTES:
        at = _inner(spot, "source" if settings.file is None else "file")
        found.append(Problem(at.place, at.path, f"is longer than {MAX_SOURCE_BYTES >> 10} KiB"))
        return None
    return LocalScript(script_of(settings, source), place, settings.file is not None)


def script_of(settings: HookSettings, source: str) -> Script:
    return Script(
        name=settings.name,
        hook_type=settings.point,
        source=source,
        groups=list(settings.groups),
        keep_raw=settings.keep_raw,
        on_failure=settings.on_failure,
        timeout_ms=None if settings.timeout is None else max(1, round(settings.timeout * 1_000)),
        worker=settings.worker or "",
        schedule=settings.schedule or "",
        timezone=settings.timezone,
    )


def text_of(path: Path) -> tuple[str | None, str]:
    """The text, and why there is none."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return None, "it is no file"
        with path.open("rb") as file:
            data = file.read(MAX_SOURCE_BYTES + 1)
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        # A cut in the middle of a letter is too long a file, and says so.
        return None, "it is not UTF-8, or too long"
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        return None, getattr(error, "strerror", None) or str(error)
    return (text, "") if text.strip() else (None, "it is empty")


def _schedule_problems(settings: HookSettings, spot: Spot) -> Iterator[Problem]:
    for key, why in (
        ("timezone", zone_fault(settings.timezone)),
        ("schedule", schedule_fault(settings.schedule or "")),
    ):
        if why:
            at = _inner(spot, key)
            yield Problem(at.place, at.path, why)


def zone_fault(name: str) -> str:
    """Why it is no time zone; empty where it is one."""
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        return f"there is no time zone '{name}' on this machine"
    return ""


def schedule_fault(schedule: str) -> str:
    """Why it is no schedule; empty where it is one, or there is none."""
    if not schedule:
        return ""
    if len(schedule.split()) != 5:
        return f"'{schedule}' is no schedule: it needs minute, hour, day of month, month and day of week"
    # Of the extra, and slow for those who need none.
    from cronsim import CronSim, CronSimError

    try:
        next(CronSim(schedule, datetime.now(UTC)))
    except CronSimError as error:
        return f"'{schedule}' is no schedule: {error}"
    except StopIteration:
        return f"'{schedule}' never comes"
    return ""


def _inner(spot: Spot, key: str) -> Spot:
    return locate(spot.value, (key,), spot.place, spot.path)
