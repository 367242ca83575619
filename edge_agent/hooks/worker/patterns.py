"""Names that stand for several: `zone*` (any text; `?` is one character), `zone[01..16]` (a range). Pure."""

import re
from collections.abc import Callable, Sequence
from fnmatch import translate
from functools import lru_cache
from typing import Final

_RANGE: Final = re.compile(r"(.*)\[([0-9]{1,9})\.\.([0-9]{1,9})\](.*)", re.DOTALL)
MAX_NAMES: Final = 20_000


def is_glob(pattern: str) -> bool:
    return "*" in pattern or "?" in pattern


def expand(name: str) -> list[str]:
    """The names of a range, its digits as wide as the first; else the name itself. Raises ValueError."""
    match = _RANGE.fullmatch(name)
    if match is None:
        return [name]
    before, first, last, after = match.groups()
    if int(last) < int(first):
        raise ValueError(f"the range [{first}..{last}] runs backwards")
    if int(last) - int(first) >= MAX_NAMES:
        raise ValueError(f"the range [{first}..{last}] has more than {MAX_NAMES} names")
    return [f"{before}{number:0{len(first)}}{after}" for number in range(int(first), int(last) + 1)]


def matcher(pattern: str) -> Callable[[str], bool]:
    """Whether a name is one that the pattern stands for."""
    if not is_glob(pattern):
        names = frozenset(expand(pattern))
        return names.__contains__
    prefix = pattern.rstrip("*")
    if not is_glob(prefix):
        return lambda name: name.startswith(prefix)
    # Never looks back behind a part that it has found: no pattern takes long.
    found = re.compile(translate(pattern.replace("[", "[[]"))).match
    return lambda name: found(name) is not None


def choose(pattern: str, names: tuple[str, ...], index: dict[str, int]) -> Sequence[int]:
    """Places of the names that the pattern stands for: a range in its own order, else in that of `names`.
    A range of Python where they are neighbours."""
    if not is_glob(pattern):
        return _places([index[name] for name in expand(pattern) if name in index])
    return _found(pattern, names)


# Groups of like machines have like names.
@lru_cache(maxsize=64)
def _found(pattern: str, names: tuple[str, ...]) -> Sequence[int]:
    matches = matcher(pattern)
    return _places([place for place, name in enumerate(names) if matches(name)])


def _places(found: list[int]) -> Sequence[int]:
    together = range(found[0], found[0] + len(found)) if found else range(0)
    return together if found == list(together) else found
