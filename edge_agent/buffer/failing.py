"""Which groups hooks change, for a start that finds their frames in the ring and can run no hook on them.

Kept beside the ring, whose fate it shares: patterns of CONNECTION.GROUP, each with whether samples are
withheld where a hook fails.
"""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import orjson
import structlog

from edge_agent.runtime.atomic import write_atomic

logger = structlog.stdlib.get_logger(__name__)

_NAME: Final = "hooked.json"

Failing = dict[str, bool]


def read(directory: Path) -> Failing:
    """What the run before has kept; nothing where it kept nothing."""
    try:
        found = orjson.loads((directory / _NAME).read_bytes())
        return {str(pattern): bool(withheld) for pattern, withheld in found.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError) as error:
        # Rather no value than one that was to be withheld.
        logger.warning("what hooks change is not known: samples of the ring are withheld", error=str(error))
        return {"*": True}


def write(directory: Path, failing: Mapping[str, bool]) -> None:
    """Never raises. Where it cannot be written, the file is emptied, which needs no room: then it stands for
    all groups, and a start withholds them."""
    path = directory / _NAME
    try:
        if failing:
            write_atomic(path, orjson.dumps(dict(failing)))
        else:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
    except OSError as error:
        logger.warning(
            "what hooks change cannot be kept beside the ring: a kill would withhold all of it",
            error=str(error),
        )
        with contextlib.suppress(OSError):
            path.write_bytes(b"")


def joined(one: Mapping[str, bool], other: Mapping[str, bool]) -> Failing:
    return {pattern: one.get(pattern, False) or other.get(pattern, False) for pattern in {**one, **other}}
