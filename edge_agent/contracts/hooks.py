"""Hooks, between the buffer, which has frames ready to be committed, and the room that runs scripts on them.

Frames are in the ring when hooks see them, so that a killed agent loses none; what a hook makes of them is
committed in their place, in the transaction that also keeps the hook's state (decision 0038).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from edge_agent.contracts.status import LatestValue
from edge_agent.wire.batch import Kind
from edge_agent.wire.frame import Frame
from edge_agent.wire.messages import HooksReport
from edge_agent.wire.schema import Schema
from edge_agent.wire.scripts import Script

Frames = dict[str, tuple[Schema, list[Frame]]]
Records = dict[Kind, list[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class LinkChange:
    """A connection's link has come up or gone down. state: as in its report. time: since when, UTC ms."""

    connection: str
    driver: str
    address: str
    state: str
    time: int
    error: str = ""


@dataclass(frozen=True, slots=True)
class Tick:
    """A time of a hook's schedule has come. scheduled: that time, UTC ms; of several that were missed, the
    last."""

    hook: str
    scheduled: int


class HookSources(Protocol):
    """What happens beside frames and records. Links and ticks are asked for at each flush, also where nothing
    was taken. `app` implements it; without a hook that wants to know it does nothing."""

    def links(self) -> list[LinkChange]:
        """Changes since this was last asked, in the order of their times."""
        ...

    def polled(self) -> Sequence[Schema]:
        """Of all groups that are polled, as they are read."""
        ...

    def ticks(self) -> list[Tick]:
        """Of on_schedule, since this was last asked."""
        ...


@dataclass(slots=True)
class Hooked:
    """What a flush commits instead of what it took.

    frames: by schema hash; a group's numbers are those that its frames had, each once and in order. A frame
      of which a hook kept nothing has no sample and still its number. Frames of `HOOKS_CONNECTION` are new.
    records: those that were taken, and alerts of hooks. schemas: of frames, as far as they are not those of
      the frames that were taken; the buffer stores each once.
    states: of each hook whose state has changed, what is to be kept for it (JSON, bounded); committed with
      the frames, or not at all.
    """

    frames: Frames
    records: Records
    schemas: list[Schema] = field(default_factory=list)
    states: dict[str, bytes] = field(default_factory=dict)


class FrameHooks(Protocol):
    """What a flush asks before it encodes. `hooks.stage` implements it."""

    async def apply(self, frames: Frames, records: Records, seconds: float) -> Hooked:
        """Runs all hooks on what a flush has taken, at most `seconds` long. Never raises; what was taken is
        not changed. Samples that a hook failed on, or for which there was no time, come back as they were
        before it, marked `bad_hook` (without a value where the hook withholds)."""
        ...

    async def expect(self, schemas: Sequence[Schema]) -> None:
        """Frames of these will come. Returns when hooks are prepared for them, after some seconds whether or
        not they are. Never raises."""
        ...

    def failed(self) -> Mapping[str, bool]:
        """Patterns of CONNECTION.GROUP whose frames hooks change or may keep back; True: their samples are
        withheld where a hook fails. The buffer keeps them beside the ring (`Store.keep_failing`), so that
        frames which a killed agent left are marked too."""
        ...


class HookWatch(Protocol):
    """What the rest of the agent sees of the hooks."""

    def report(self) -> HooksReport: ...

    def adjusted(self) -> Mapping[str, tuple[int, int]]:
        """By connection, how many samples hooks of this run have computed and how many dropped: read grows
        by the one, suppressed by the other, and framed by their difference."""
        ...

    def schemas(self) -> list[Schema]:
        """Of groups that hooks changed, as their frames go on; computed ones among them."""
        ...

    def latest_of(self, schema: Schema, wanted: Iterable[int]) -> list[LatestValue]:
        """Newest values of some tags, by their places in one of `schemas`, as they go on."""
        ...


class HookStage(FrameHooks, HookWatch, Protocol):
    """All that `app` asks of the stage. `hooks.stage.Stage` implements it."""

    async def replace(self, scripts: Sequence[Script], require: Collection[str], call_seconds: float) -> None:
        """From the next `apply` on these run, in this order; those of version 0 are the local file's. One
        whose digest stays goes on as it is, with its process, breaker and figures. Never raises: what cannot
        run is reported as refused. require: layers of the sandbox without which none runs. call_seconds: what
        one call may take where its script does not say. The caller has told the buffer of the groups."""
        ...

    def hurry(self, seconds: float) -> None:
        """The agent stops: an `apply` that runs gives hooks no more than this from now on."""
        ...

    async def close(self) -> None:
        """No process is left. After the last flush; `apply` then gives frames back as after a failure."""
        ...
