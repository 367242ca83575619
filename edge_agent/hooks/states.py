"""What hooks remember: of those that run, of those that are gone, and what the buffer has kept. Pure."""

from collections.abc import Mapping, Sequence
from typing import Final

import orjson

from edge_agent.hooks.hook import Hook

# States of hooks that are gone, in memory and in the buffer, in case they come back.
KEPT: Final = 128


class States:
    """A state belongs to a name: a new version of a script has that of the one before."""

    def __init__(self, saved: Mapping[str, bytes]) -> None:
        """saved: by name, as the buffer has committed them; looked at when a hook is run first."""
        self._saved = saved
        self._parted: dict[str, bytes] = {}

    def of(self, hook: Hook) -> bytes:
        if hook.state is None:
            saved = self._saved.get(hook.name, b"")
            try:
                hook.state = saved if saved and isinstance(orjson.loads(saved), dict) else b""
            except ValueError:
                hook.state = b""
        return hook.state

    def hand_over(self, before: Sequence[Hook], hooks: Sequence[Hook]) -> set[str]:
        """From the hooks that ran to those that will. Returns the names of those that are gone."""
        left = {hook.name: hook.state for hook in before if hook.state is not None}
        names = {hook.name for hook in hooks}
        for hook in hooks:
            if hook.state is None:
                hook.state = left.get(hook.name, self._parted.get(hook.name))
        self._parted = {name: state for name, state in (self._parted | left).items() if name not in names}
        for name in list(self._parted)[:-KEPT]:
            del self._parted[name]
        return left.keys() - names

    def surplus(self, hooks: Sequence[Hook]) -> dict[str, bytes]:
        """Those that the buffer is to forget: of hooks that are gone, the first of too many."""
        if len(self._saved) <= KEPT:
            return {}
        names = {hook.name for hook in hooks}
        gone = [name for name in self._saved if name not in names]
        return dict.fromkeys(gone[:-KEPT], b"")
