"""From a file to a validated document: all that is wrong with it at once, or all of it.

`load` does the I/O of reading the file, what it includes and the secrets it names, and of looking whether
the certificates that it names are there; it is slow for large documents (about 1 s for 20,000 tags), so
the agent calls it in a child process.
"""

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edge_agent.config import environment
from edge_agent.config.checks import warnings
from edge_agent.config.errors import ConfigErrors, Place, Problem, in_order
from edge_agent.config.models import Document
from edge_agent.config.named_files import unusable_files
from edge_agent.config.outline import Outline
from edge_agent.config.resolve import Resolver
from edge_agent.config.translate import EMPTY_LIST
from edge_agent.config.tree import PlacedMap
from edge_agent.config.validate import SettingsLookup, Validator


@dataclass(frozen=True, slots=True)
class Loaded:
    """A valid config. Picklable.

    files: all that was read, the main file first.
    warnings: what works and is unwise, for the log and `edge-agent check`.
    """

    document: Document
    outline: Outline
    files: tuple[Path, ...]
    warnings: tuple[Problem, ...]

    @property
    def directory(self) -> Path:
        """What relative paths in the document are relative to."""
        return self.files[0].parent


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
    resolver = Resolver(path, environ)
    root = resolver.read(path)
    place = Place(str(path), 1, 1)
    if root is None and not resolver.problems:
        root = PlacedMap(place)  # an empty file: everything may come from the environment
    found: list[Problem] = []
    document = None
    if root is not None:
        if isinstance(root, PlacedMap):
            found = environment.apply(root, environ, resolver.secret)
        validator = Validator(root, place, lookup, secrets=resolver.secrets)
        document = validator.document()
        # What could not be resolved has no value, of which validation has nothing new to say.
        known = {problem.place for problem in resolver.problems}
        resolver.problems += [
            problem for problem in validator.problems
            if problem.place not in known and not (known and problem.message == EMPTY_LIST)
        ]  # fmt: skip
    files = [str(file) for file in resolver.files]
    if resolver.problems or document is None:
        raise ConfigErrors(in_order(resolver.problems, files))
    found += [*resolver.warnings, *warnings(document, root, place)]
    found += unusable_files(document, root, path.parent, place)
    return Loaded(document, Outline.of(document), tuple(resolver.files), tuple(in_order(found, files)))
