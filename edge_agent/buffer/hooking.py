"""What the writing side of the buffer keeps of hooks: their states, and which groups they change."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from edge_agent.buffer import failing
from edge_agent.buffer.frames import FrameMemory
from edge_agent.buffer.recovery import Begun
from edge_agent.buffer.seal import Take
from edge_agent.contracts.hooks import FrameHooks, Hooked

# What scripts can be expected to come to in a second, several times over what 100,000 samples take.
_BYTES_A_SECOND: Final = 1 << 20


def hooked_bytes(flush_seconds: float) -> int:
    """The most that a flush gives to hooks: of what has piled up behind a disk that failed, they would not
    come to the rest in their time, which would go on without them."""
    return int(_BYTES_A_SECOND * max(1.0, flush_seconds))


class Hooking:
    """states: of hooks by name, as they were committed last; those of hooks that are gone are kept. Others
    hold it: it stays one object."""

    def __init__(self, memory: FrameMemory) -> None:
        self._memory = memory
        self.states: dict[str, bytes] = {}
        # The file was opened again, and may not have what was kept in it.
        self._lacking = False
        self._opened = False
        self._directory: Path | None = None
        self._failing: failing.Failing = {}
        self.left: failing.Failing = {}

    def find(self, ring_directory: Path) -> None:
        """Reads what the run before has left beside the ring: `left`."""
        self._directory = ring_directory
        self.left = failing.read(ring_directory)
        if self._failing:
            self._write(failing.joined(self.left, self._failing))

    def opened(self, begun: Begun) -> None:
        """What was in the ring is committed, and the states are known; or the file was opened again."""
        if self._opened:
            self._lacking = True
            return
        self._opened = True
        self._take_over(begun.hook_states)
        self._write(self._failing)

    def keep_failing(self, patterns: Mapping[str, bool]) -> None:
        self._failing = dict(patterns)
        left = {} if self._opened else self.left
        self._write(failing.joined(left, patterns))

    def _write(self, patterns: Mapping[str, bool]) -> None:
        """Before the ring has its directory there is nothing to be marked, and `find` writes it."""
        if self._directory is not None:
            failing.write(self._directory, patterns)

    async def apply(self, hooks: FrameHooks | None, take: Take, seconds: float) -> None:
        """Lets hooks make of the take what is committed instead."""
        if hooks is not None:
            made = await hooks.apply(take.frames, take.records, seconds)
        elif take.done is not None:
            # Frames that came since the hooks went stand behind those that they made.
            made = Hooked(take.frames, take.records)
        else:
            return
        self._memory.hooked(take, made)

    def due(self, take: Take) -> dict[str, bytes]:
        """The states that a commit of this take is to keep."""
        return self.states | take.states if self._lacking else take.states

    def stored(self, states: Mapping[str, bytes]) -> None:
        self._lacking = False
        self._take_over(states)

    def _take_over(self, states: Mapping[str, bytes]) -> None:
        self.states.update(states)
        for name in [name for name, state in self.states.items() if not state]:
            del self.states[name]
