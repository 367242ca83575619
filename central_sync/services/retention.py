"""How long things are kept. Nothing that was measured is deleted unless the settings say so.

What was received stays known for ever, whatever becomes of the batches themselves: no agent is asked for them
again, and one that brings them again is told that they are here.
"""

from dataclasses import dataclass
from typing import Final, Protocol

DAY_SECONDS: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class Ages:
    """Seconds; None: for ever."""

    samples: float | None = None
    events: float | None = None
    heartbeats: float | None = DAY_SECONDS
    commands: float | None = 90 * DAY_SECONDS
    audit: float | None = None


@dataclass(frozen=True, slots=True)
class Slice:
    """A bounded part of the work. removed: rows; cursor: where the next part begins; None: it is done."""

    removed: int
    cursor: int | None


class RetentionStore(Protocol):
    """Each call is one short transaction. before and now: UTC milliseconds; cursor: 0 at the beginning."""

    async def samples(self, before: int, now: int, cursor: int) -> Slice: ...

    async def events(self, before: int, cursor: int) -> Slice: ...

    async def heartbeats(self, before: int, cursor: int) -> Slice: ...

    async def audit(self, before: int, now: int) -> Slice:
        """Removes the oldest entries behind a signed anchor. Raises InvariantBroken where they are not what
        was written: what is wrong is not tidied away."""
        ...

    async def vacuum(self) -> bool:
        """Gives some free pages back to the file system; False: few are left."""
        ...


class InvariantBroken(Exception):
    """Somebody has to look."""
