"""What a hook remembers between calls: a dict that is taken back where a call fails. Pure."""

from typing import Any, Final

import orjson

from edge_agent.hooks.protocol import MAX_STATE_BYTES
from edge_agent.wire.errors import WireError
from edge_agent.wire.frame import check_json

_STRICT: Final = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS
_EMPTY: Final = b"{}"


class StateRefused(Exception):
    """The script has put into its state what cannot be kept."""


class State:
    """`value` is what the script is given: what JSON holds, so that it is the same after a restart."""

    def __init__(self) -> None:
        self.value: dict[str, Any] = {}
        self._kept = _EMPTY

    def load(self, value: Any) -> None:
        """What the agent has kept of it."""
        self._kept = orjson.dumps(value if isinstance(value, dict) else {})
        self.take_back()

    @property
    def kept(self) -> bytes:
        """As JSON: what a failed call comes back to."""
        return self._kept

    def keep(self) -> None:
        """A call has gone well. Raises StateRefused."""
        if not self.value and self._kept == _EMPTY:
            return
        try:
            data = orjson.dumps(self.value, option=_STRICT)
            if data == self._kept:
                return
            # NaN is null by now, and would be another value after a restart.
            check_json(self.value)
        except (TypeError, ValueError, RecursionError, WireError) as error:
            raise StateRefused(f"the state holds what JSON does not: {error}") from None
        if len(data) > MAX_STATE_BYTES:
            raise StateRefused(f"the state has {len(data)} bytes as JSON: {MAX_STATE_BYTES} are the most")
        self._kept = data
        # As it would be after a restart: a tuple is a list.
        self.value = orjson.loads(data)

    def take_back(self) -> None:
        self.value = orjson.loads(self._kept)
