"""Files that a document names for later: certificates and keys, by settings called `…_file`.

They belong to the machine rather than to the document: one that is missing makes its connection or the
centre unreachable until it is there, and nothing else. So a load warns; `edge-agent check` refuses.
"""

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from edge_agent.config.errors import Place, Problem
from edge_agent.config.models import Document
from edge_agent.config.tree import Spot, locate

_SUFFIX: Final = "_file"


def unusable_files(document: Document, root: Any, directory: Path, place: Place) -> list[Problem]:
    """Those that cannot be read. root: the tree that the document was made from. directory: what relative
    paths are relative to."""
    spots = [locate(root, ("central",), place)]
    for index, settings in enumerate(document.connections):
        if settings.enabled:
            connection = locate(root, ("connections", index), place)
            # Not the groups: they may be large, and tags name no files.
            spots += [_inner(connection, key) for key in connection.value if key != "groups"]
    return [problem for spot in spots for problem in _problems(spot, directory)]


def _inner(spot: Spot, key: str) -> Spot:
    return locate(spot.value, (key,), spot.place, spot.path)


def _problems(spot: Spot, directory: Path) -> Iterator[Problem]:
    if not isinstance(spot.value, dict):
        return
    for key, value in spot.value.items():
        inner = _inner(spot, key)
        if isinstance(value, dict):
            yield from _problems(inner, directory)
        elif key.endswith(_SUFFIX) and isinstance(value, str):
            reason = _unreadable(directory / value)
            if reason:
                message = f"{directory / value} cannot be read: {reason}"
                yield Problem(inner.place, inner.path, message, of_machine=True)


def _unreadable(path: Path) -> str:
    """Why, in a few words; empty where it can be read."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return "it is no file"
        with path.open("rb"):
            return ""
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        return getattr(error, "strerror", None) or str(error)
