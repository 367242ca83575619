"""All samples of one group from one poll cycle: the unit in which values travel through the agent."""

import math
from dataclasses import dataclass
from typing import Final, TypeAlias

from edge_agent.wire.errors import WireError
from edge_agent.wire.quality import QualityRun, SourceRun

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"


@dataclass(slots=True)
class Frame:
    """Immutable by convention from the moment it has its number; plain for speed.

    n: counts the group's frames in a run of the agent, from 1 and without holes.
    mono_ns, wall_ms: when the read was complete, on the monotonic and on the wall clock (UTC).
    row: the fixed-size values in schema order; `b""` where no tag of the row has a value.
    read: samples read since the group's previous frame, cycles that were suppressed whole included.
    suppressed: how many of those the deadband kept out; `read - suppressed` are in this frame.
    present: little-endian bitmap over the schema's tags of those in this frame; None: all of them.
    text: values of the tags that travel as JSON, one for each such tag; None: there are none.
    quality: runs of tags that are not plainly good, ascending. Tags in a `null` run have no value.
    source: the protocol's own time stamps, ascending; empty where it has none.
    """

    n: int
    mono_ns: int
    wall_ms: int
    row: bytes
    read: int
    suppressed: int = 0
    present: bytes | None = None
    text: tuple[JsonValue, ...] | None = None
    quality: tuple[QualityRun, ...] = ()
    source: tuple[SourceRun, ...] = ()

    @property
    def samples(self) -> int:
        return self.read - self.suppressed


# Deep enough for any structure of a PLC, and far below what JSON writers and readers refuse.
MAX_DEPTH: Final = 64
_LEAST_INTEGER: Final = -(1 << 63)
_MOST_INTEGER: Final = (1 << 64) - 1


def check_depth(value: object) -> None:
    """Raises WireError where lists and objects are nested more than `MAX_DEPTH` deep."""
    level = [value] if isinstance(value, list | tuple | dict) else []
    for _ in range(MAX_DEPTH):
        if not level:
            return
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, list | tuple | dict)
        ]
    if level:
        raise WireError(f"a value is nested more than {MAX_DEPTH} deep")


def check_json(value: object) -> None:
    """Raises WireError where a value of a driver or hook cannot travel as it is.

    A value that fails belongs into no frame: it is a `bad_value` without a value. JSON knows neither NaN
    nor infinity nor texts with lone surrogates; integers end at 64 bits; see `MAX_DEPTH`.
    """
    check_depth(value)
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            if not all(isinstance(key, str) for key in item):
                raise WireError("an object has a key that is not a text")
            waiting += item.keys()
            waiting += item.values()
        elif isinstance(item, list | tuple):
            waiting += item
        else:
            _check_scalar(item)


def _check_scalar(item: object) -> None:
    if isinstance(item, str):
        try:
            str.encode(item)
        except UnicodeEncodeError as error:
            raise WireError("a text has characters that UTF-8 cannot hold") from error
    elif isinstance(item, float):
        if not math.isfinite(item):
            raise WireError("a number is not finite")
    elif isinstance(item, int):
        if not _LEAST_INTEGER <= item <= _MOST_INTEGER:
            raise WireError("a whole number has more than 64 bits")
    elif item is not None:
        raise WireError(f"{type(item).__name__} is not a JSON type")


def bitmap(selected: list[bool] | list[int]) -> bytes:
    """The bitmap of a list of truth values, lowest bit first."""
    number = int("".join("1" if bit else "0" for bit in reversed(selected)) or "0", 2)
    return number.to_bytes((len(selected) + 7) // 8, "little")


def selection(present: bytes | None, tags: int) -> list[int]:
    """The list of 0 and 1 that a bitmap stands for; None means that every tag is there."""
    if present is None:
        return [1] * tags
    digits = format(int.from_bytes(present, "little"), f"0{tags}b")
    return [1 if digit == "1" else 0 for digit in reversed(digits)][:tags]
