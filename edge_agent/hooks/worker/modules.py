"""What of the standard library scripts may use: namespaces without the modules that those import."""

import datetime as dt
import json
import math
import re
import statistics
from collections.abc import Mapping
from types import ModuleType
from typing import Any, Final, NoReturn


class Namespace:
    """A module's public names, to be read alone."""

    __slots__ = ("_entries", "_name")

    def __init__(self, name: str, entries: Mapping[str, Any]) -> None:
        object.__setattr__(self, "_name", name)
        object.__setattr__(self, "_entries", dict(entries))

    def __getattr__(self, name: str) -> Any:
        try:
            return self._entries[name]
        except KeyError:
            raise AttributeError(f"scripts have no {self._name}.{name}") from None

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{self._name}.{name} cannot be set")

    def __dir__(self) -> list[str]:
        return sorted(self._entries)

    def __repr__(self) -> str:
        return f"<{self._name} of scripts>"


def _public(module: ModuleType, names: str) -> Namespace:
    return Namespace(module.__name__, {name: getattr(module, name) for name in names.split()})


class _Marker:
    """Stands for a type of `holdfast_hooks` in annotations, which only editors read."""


_MATH: Final = " ".join(name for name in dir(math) if not name.startswith("_"))
_RE: Final = (
    "compile escape findall finditer fullmatch match search split sub subn "
    "A ASCII I IGNORECASE M MULTILINE S DOTALL X VERBOSE"
)
_STATISTICS: Final = (
    "fmean geometric_mean harmonic_mean linear_regression correlation covariance mean median median_high "
    "median_low mode multimode pstdev pvariance quantiles stdev variance StatisticsError"
)
# `alert` is each script's own, by the same name.
MARKERS: Final = ("alert", "Alert", "Column", "Cycle", "Frame", "Link", "State", "Tick")
MODULES: Final[dict[str, Namespace]] = {
    "math": _public(math, _MATH),
    "re": _public(re, _RE),
    "json": _public(json, "dumps loads JSONDecodeError"),
    "datetime": _public(dt, "date datetime time timedelta timezone UTC MINYEAR MAXYEAR"),
    "statistics": _public(statistics, _STATISTICS),
    "holdfast_hooks": Namespace("holdfast_hooks", dict.fromkeys(MARKERS, _Marker)),
}
