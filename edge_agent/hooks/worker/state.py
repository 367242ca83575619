"""What a hook remembers between calls: a dict that is taken back where a call fails. Pure."""

from json import JSONDecoder, JSONEncoder
from typing import Any

from edge_agent.hooks.protocol import MAX_STATE_BYTES
from edge_agent.wire.errors import WireError
from edge_agent.wire.frame import check_json

_encode = JSONEncoder(allow_nan=False, separators=(",", ":"), ensure_ascii=False).encode
_decode = JSONDecoder().decode


class StateRefused(Exception):
    """The script has put into its state what cannot be kept."""


class State:
    """`value` is what the script is given: what JSON holds, so that it is the same after a restart."""

    def __init__(self) -> None:
        self.value: dict[str, Any] = {}
        self._kept = "{}"

    def load(self, value: Any) -> None:
        """What the agent has kept of it."""
        self._kept = _encode(value if isinstance(value, dict) else {})
        self.value = _decode(self._kept)

    @property
    def kept(self) -> str:
        """As text: what a failed call comes back to."""
        return self._kept

    def keep(self) -> None:
        """A call has gone well. Raises StateRefused."""
        if not self.value and self._kept == "{}":
            return
        try:
            text = _encode(self.value)
            if text == self._kept:
                return
            if len(text) > MAX_STATE_BYTES // 4 and len(text.encode()) > MAX_STATE_BYTES:
                raise StateRefused(f"the state has more than {MAX_STATE_BYTES} bytes as JSON")
            check_json(self.value)
        except (TypeError, ValueError, RecursionError, WireError) as error:
            raise StateRefused(f"the state holds what JSON does not: {error}") from None
        self._kept = text
        # As it would be after a restart: a tuple is a list.
        self.value = _decode(text)

    def take_back(self) -> None:
        self.value = _decode(self._kept)
