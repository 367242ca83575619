"""From a file to a validated document: all that is wrong with it at once, or all of it.

`load` does the I/O of reading the file, what it includes and the secrets it names, and of looking whether
the certificates that it names are there; it is slow for large documents (about 1 s for 20,000 tags), so
the agent calls it in a child process. `load_head` reads the section `agent` of it alone.
"""

import gc
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_agent.config import environment
from edge_agent.config.checks import warnings, write_problems
from edge_agent.config.errors import ConfigErrors, Place, Problem, in_order
from edge_agent.config.models import AgentSettings, ConnectionSettings, Document
from edge_agent.config.named_files import unusable_files
from edge_agent.config.outline import Outline
from edge_agent.config.resolve import Resolver
from edge_agent.config.scripts import LocalScript, idle_scripts, read_scripts
from edge_agent.config.translate import EMPTY_LIST
from edge_agent.config.tree import PlacedMap
from edge_agent.config.validate import SettingsLookup, Validator
from edge_agent.contracts.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Loaded:
    """A valid config. Picklable.

    files: all that was read, the main file first.
    warnings: what works and is unwise, for the log and `edge-agent check`.
    scripts: those that the section `hooks` names or holds, as they were read.
    """

    document: Document
    outline: Outline
    files: tuple[Path, ...]
    warnings: tuple[Problem, ...]
    scripts: tuple[LocalScript, ...] = ()

    @property
    def agent(self) -> AgentSettings:
        return self.document.agent

    @property
    def directory(self) -> Path:
        """What relative paths in the document are relative to."""
        return self.files[0].parent

    @property
    def state_directory(self) -> Path:
        """Where the agent keeps its own files: beside the buffer's database."""
        return (self.directory / self.document.buffer.path).parent


def load(path: Path, lookup: SettingsLookup, environ: Mapping[str, str]) -> Loaded:
    """Reads and validates the config at `path`. Raises ConfigErrors, and nothing else."""
    with _no_collection():
        return _load(path, lookup, environ)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Nothing that a load makes is garbage in a cycle: looking for it takes a third of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _load(path: Path, lookup: SettingsLookup, environ: Mapping[str, str]) -> Loaded:
    read = _read(path, lookup, environ)
    document, place = read.document, read.place
    hooks = read_scripts(document, read.root, path.parent, place)
    files = (*read.files, *hooks.files)
    if hooks.problems:
        raise ConfigErrors(in_order(hooks.problems, [*map(str, files)]))
    found = [*read.found, *read.warnings, *warnings(document, read.root, place)]
    found += unusable_files(document, read.root, path.parent, place)
    found += idle_scripts(document, read.root, place)
    outline = Outline.of(document, [local.script for local in hooks.scripts])
    return Loaded(document, outline, files, tuple(in_order(found, [*map(str, files)])), tuple(hooks.scripts))


@dataclass(frozen=True, slots=True)
class Head:
    """The section `agent` of a config, valid for itself."""

    agent: AgentSettings


def load_head(path: Path, environ: Mapping[str, str]) -> Head:
    """Reads the section `agent` of the config at `path`, and what the environment says of it.

    For commands that look for the running agent: a mistake in one of a hundred thousand tags, or the time
    that it takes to find it, is no reason not to ask. Where `load` has an answer, this is a part of it.
    Raises ConfigErrors for what is wrong in the section or keeps it from being found, and nothing else.
    """
    return Head(_read(path, _no_driver, environ, ("agent",)).document.agent)


def _no_driver(driver: str) -> type[ConnectionSettings]:
    raise ConfigError(f"the driver {driver!r} is not asked for")


@dataclass(frozen=True, slots=True)
class _Read:
    """A valid document, the tree that it was made from, and what was noticed on the way."""

    document: Document
    root: Any
    place: Place
    files: list[Path]
    found: list[Problem]
    warnings: list[Problem]


def _read(
    path: Path, lookup: SettingsLookup, environ: Mapping[str, str], sections: Collection[str] = ()
) -> _Read:
    """sections: these alone; none: all. Raises ConfigErrors."""
    resolver = Resolver(path, environ)
    root = resolver.read(path, sections=sections)
    place = Place(str(path), 1, 1)
    if root is None and not resolver.problems:
        root = PlacedMap(place)  # an empty file: everything may come from the environment
    found: list[Problem] = []
    document = None
    if root is not None:
        if isinstance(root, PlacedMap):
            said = environment.of_agent(environ) if sections else environ
            found = environment.apply(root, said, resolver.secret)
        validator = Validator(root, place, lookup, secrets=resolver.secrets)
        document = validator.document()
        # What could not be resolved has no value, of which validation has nothing new to say.
        known = {problem.place for problem in resolver.problems}
        resolver.problems += [
            problem for problem in validator.problems
            if problem.place not in known and not (known and problem.message == EMPTY_LIST)
        ]  # fmt: skip
    if document is not None and not resolver.problems:
        resolver.problems += write_problems(document, root, place)
    if resolver.problems or document is None:
        raise ConfigErrors(in_order(resolver.problems, [str(file) for file in resolver.files]))
    return _Read(document, root, place, resolver.files, found, resolver.warnings)
