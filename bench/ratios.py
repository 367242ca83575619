"""Whether a figure's ratio to its peer is far above the one that is stored: what CI can compare.

Absolute times of a CI machine say nothing; the peer beside them runs on the same machine in the same
minute. Only gross regressions count, since the machines are shared.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import orjson

from bench.figure import Outcome

STORED: Final = Path(__file__).with_name("ratios.json")
TOLERANCE: Final = 2.5


def stored() -> dict[str, float]:
    """The ratios of quick runs by figure, as they were on a quiet machine."""
    found: dict[str, float] = orjson.loads(STORED.read_bytes())
    return found


def regressions(outcomes: Sequence[Outcome], known: Mapping[str, float]) -> list[str]:
    """One line for each figure whose ratio is more than TOLERANCE times the known one."""
    found = []
    for outcome in outcomes:
        ratio = outcome.beside.ratio if outcome.beside else None
        limit = known.get(outcome.name)
        if ratio is not None and limit is not None and ratio > TOLERANCE * limit:
            found.append(
                f"{outcome.name}: ratio {ratio:g} is over {TOLERANCE:g} × {limit:g}, the stored one; "
                "if that is meant, store the new one in bench/ratios.json"
            )
    return found
