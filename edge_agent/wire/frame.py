"""All samples of one group from one poll cycle: the unit in which values travel through the agent."""

from dataclasses import dataclass
from typing import TypeAlias

from edge_agent.wire.quality import QualityRun, SourceRun

JsonValue: TypeAlias = (
    "None | bool | int | float | str | list[JsonValue] | dict[str, JsonValue]"
)


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
