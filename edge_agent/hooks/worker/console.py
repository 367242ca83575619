"""What scripts print and what alerts they raise while one request is worked on: bounded, the rest told of."""

from json import JSONDecoder, JSONEncoder
from typing import Any, Final

from edge_agent.hooks.protocol import ALERT_CODE, MAX_ALERTS, MAX_PRINT_CHARACTERS
from edge_agent.wire.frame import check_json

_MOST_MESSAGE: Final = 500
_MOST_DATA_CHARACTERS: Final = 4_096
_encode = JSONEncoder(allow_nan=False, separators=(",", ":")).encode
_decode = JSONDecoder().decode


class Console:
    def __init__(self) -> None:
        self._printed: list[str] = []
        self._characters = 0
        self._alerts: list[dict[str, Any]] = []
        self._left_out = 0
        self._call = 0

    def begin(self, call: int) -> int:
        """A call begins. Returns what `forget` takes."""
        self._call = call
        return len(self._alerts)

    def forget(self, mark: int) -> None:
        """A call failed: its alerts do not count."""
        del self._alerts[mark:]

    def print(self, *values: Any, sep: str | None = " ", end: str | None = "\n", **_: Any) -> None:
        text = _text("sep", sep, " ").join(map(str, values)) + _text("end", end, "\n")
        text = text[-MAX_PRINT_CHARACTERS:]
        self._printed.append(text)
        self._characters += len(text)
        if self._characters > 2 * MAX_PRINT_CHARACTERS:
            self._printed = ["".join(self._printed)[-MAX_PRINT_CHARACTERS:]]
            self._characters = MAX_PRINT_CHARACTERS

    def alert(self, code: str, message: str = "", **data: Any) -> None:
        if not isinstance(code, str) or ALERT_CODE.fullmatch(code) is None:
            raise ValueError(f"{code!r:.80} is no code of an alert: write such as 'oil_hot'")
        if len(self._alerts) >= MAX_ALERTS:
            self._left_out += 1
            return
        check_json(data)
        kept = _encode(data)
        if len(kept) > _MOST_DATA_CHARACTERS:
            raise ValueError(f"the data of an alert have at most {_MOST_DATA_CHARACTERS} characters as JSON")
        text = _sendable(str(message)[:_MOST_MESSAGE])
        self._alerts.append({"code": code, "message": text, "data": _decode(kept), "i": self._call})

    def take(self) -> dict[str, Any]:
        """What an answer says of it; empty where nothing was printed and no alert was raised."""
        if not self._printed and not self._alerts:
            return {}
        if self._left_out:
            self.print(f"{self._left_out} alerts beyond {MAX_ALERTS} were left out")
        taken: dict[str, Any] = {}
        if self._printed:
            taken["prints"] = _sendable("".join(self._printed)[-MAX_PRINT_CHARACTERS:])
        if self._alerts:
            taken["alerts"] = self._alerts
        self._printed, self._alerts, self._characters, self._left_out = [], [], 0, 0
        return taken


def _text(name: str, value: Any, default: str) -> str:
    """A text, and not what a script has made to look like one."""
    if value is None:
        return default
    if not isinstance(value, str):
        raise TypeError(f"{name} must be None or a text, not {type(value).__name__}")
    return str(value)


def _sendable(text: str) -> str:
    """Without what UTF-8 cannot hold."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
