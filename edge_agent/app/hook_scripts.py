"""The script that a command of `edge-agent hook` is about: a file with settings, one of a config, or a
document with all of it."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from edge_agent.app import settings
from edge_agent.config.errors import Place
from edge_agent.config.hooks import HookSettings
from edge_agent.config.load import Loaded
from edge_agent.config.scripts import (
    LocalScript,
    schedule_fault,
    script_of,
    text_of,
    zone_fault,
)
from edge_agent.contracts.errors import ConfigError
from edge_agent.wire.scripts import MAX_SOURCE_BYTES, HookPoint, Script

# Of a script that is tried and not scheduled.
_ANY_TIME: Final = "* * * * *"
# Settings and base64 take more room than the source.
_MAX_DOCUMENT_BYTES: Final = 4 * MAX_SOURCE_BYTES


@dataclass(frozen=True, slots=True)
class Wish:
    """What was said about the script. given: settings as the section `hooks` calls them, of a plain file.
    trial: it is to be tried alone, so that no schedule has to be known."""

    file: Path | None = None
    config: Path | None = None
    hook: str | None = None
    given: dict[str, Any] = field(default_factory=dict)
    trial: bool = False


@dataclass(frozen=True, slots=True)
class Chosen:
    """loaded: the config, where one was named. watched: the files whose change makes this another."""

    local: LocalScript
    loaded: Loaded | None
    watched: tuple[Path, ...]

    @property
    def script(self) -> Script:
        return self.local.script

    @property
    def file(self) -> str:
        """What messages name with lines of it; empty where it has no file of its own."""
        return self.local.place.file if self.local.has_file else ""


def choose(wish: Wish) -> Chosen:
    """Raises ConfigError for what is no script, OSError for what cannot be read."""
    loaded = None if wish.config is None else settings.load_config(wish.config)
    if wish.file is None or wish.hook is not None:
        return _configured(wish, loaded)
    if wish.file.suffix == ".json":
        local = LocalScript(read_document(wish.file), Place(str(wish.file)), has_file=False)
        return Chosen(local, loaded, (wish.file,))
    known = None if loaded is None else _of_file(loaded, wish.file)
    if known is not None and not wish.given:
        assert loaded is not None
        return Chosen(known, loaded, (wish.file, *loaded.files))
    watched = (wish.file,) if loaded is None else (wish.file, *loaded.files)
    return Chosen(_from_file(wish.file, wish.given, trial=wish.trial), loaded, watched)


def _configured(wish: Wish, loaded: Loaded | None) -> Chosen:
    if loaded is None or wish.hook is None:
        raise ConfigError("name the script: FILE, or --hook NAME with -c CONFIG")
    if wish.file is not None or wish.given:
        raise ConfigError("--hook takes file and settings from the config: leave FILE and the settings out")
    for local in loaded.scripts:
        if local.script.name == wish.hook:
            return Chosen(local, loaded, loaded.files)
    names = ", ".join(local.script.name for local in loaded.scripts) or "none"
    raise ConfigError(
        f"{loaded.files[0]}: there is no script {wish.hook} in hooks.scripts; there are: {names}"
    )


def _of_file(loaded: Loaded, file: Path) -> LocalScript | None:
    """The script of the config whose file this is."""
    wanted = file.resolve()
    found = [
        local for local in loaded.scripts if local.has_file and Path(local.place.file).resolve() == wanted
    ]
    if len(found) > 1:
        names = ", ".join(local.script.name for local in found)
        raise ConfigError(f"{loaded.files[0]}: several scripts are {file}: {names}; choose with --hook NAME")
    return found[0] if found else None


def _from_file(file: Path, given: dict[str, Any], *, trial: bool) -> LocalScript:
    source, why = text_of(file)
    if source is None:
        raise ConfigError(f"{file}: cannot be read: {why}")
    if len(source.encode()) > MAX_SOURCE_BYTES:
        raise ConfigError(f"{file}: is longer than {MAX_SOURCE_BYTES >> 10} KiB")
    said = {"name": _name_of(file), "point": given.get("point") or _point_of(file, source), **given}
    if trial and said["point"] == HookPoint.ON_SCHEDULE:
        said = {"schedule": _ANY_TIME, **said}
    try:
        hook = HookSettings.model_validate({**said, "file": str(file)})
    except ValidationError as error:
        raise ConfigError("\n".join(_problems(file, error))) from error
    for fault in (zone_fault(hook.timezone), schedule_fault(hook.schedule or "")):
        if fault:
            raise ConfigError(f"{file}: {fault}")
    return LocalScript(script_of(hook, source), Place(str(file)), has_file=True)


def _problems(file: Path, error: ValidationError) -> list[str]:
    return [
        f"{file}: {'.'.join(map(str, each['loc'])) or 'settings'}: "
        f"{each['msg'].removeprefix('Value error, ')}"
        for each in error.errors(include_url=False)
    ]


def _name_of(file: Path) -> str:
    """`Oil temp.py` → oil-temp."""
    return re.sub(r"[^a-z0-9]+", "-", file.stem.lower()).strip("-")[:51].strip("-") or "hook"


def _point_of(file: Path, source: str) -> HookPoint:
    """By the function that it defines; a search in its text, since only a worker parses it."""
    found = [point for point in HookPoint if re.search(rf"^def {point}\s*\(", source, re.MULTILINE)]
    if len(found) == 1:
        return found[0]
    points = ", ".join(HookPoint)
    if not found:
        raise ConfigError(f"{file}: defines no function that is called like a hook point: {points}")
    raise ConfigError(f"{file}: defines {' and '.join(found)}: say which with --point")


# --- documents -----------------------------------------------------------------------------------------


def read_document(file: Path) -> Script:
    """A script with its settings and signatures, as JSON. Raises ConfigError, OSError."""
    with file.open("rb") as stream:
        data = stream.read(_MAX_DOCUMENT_BYTES + 1)
    if len(data) > _MAX_DOCUMENT_BYTES:
        raise ConfigError(f"{file}: is longer than a script can be")
    try:
        return Script.model_validate_json(data)
    except ValidationError as error:
        raise ConfigError("\n".join(_problems(file, error))) from error


def document(script: Script) -> bytes:
    """What `read_document` reads, for people too."""
    return script.model_dump_json(indent=2).encode() + b"\n"
