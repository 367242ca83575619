"""The decoders that are fuzzed: each module here has `SEEDS` and `target`.

A target hands bytes to a decoder as a peer's would come in, and takes the errors that the decoder may
raise for bytes that make no sense. It raises for everything else, and where what came out breaks a
promise of the decoder.
"""

import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module


@dataclass(frozen=True, slots=True)
class Target:
    name: str
    seeds: Sequence[bytes]
    function: Callable[[bytes], None]


def names() -> tuple[str, ...]:
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def load(name: str) -> Target:
    """Imports a target's module now, and the decoder with it. Raises ValueError for an unknown name."""
    if name not in names():
        raise ValueError(f"there is no target {name!r}; there are: {', '.join(names())}")
    module = import_module(f"{__name__}.{name}")
    return Target(name, module.SEEDS, module.target)
