"""Read Device Identification (function 43/14): requests and what their replies say. Pure.

Source: Modbus Application Protocol V1.1b3, 6.21.
"""

from dataclasses import dataclass, field
from typing import Final

from edge_agent.contracts.driver import Identity

_FUNCTION, _MEI_TYPE, _BASIC = 0x2B, 0x0E, 0x01
_HEAD_BYTES: Final = 7
_VENDOR, _PRODUCT, _REVISION = 0, 1, 2
_TEXT: Final = 100
# The three basic objects may take one reply each; a station that goes on for ever is not followed.
MOST_REQUESTS: Final = 3


@dataclass(slots=True)
class Identification:
    """The basic objects of one station, from as many replies as it needs."""

    _objects: dict[int, str] = field(default_factory=dict)
    _next: int | None = _VENDOR

    def next_request(self) -> bytes | None:
        """The PDU to ask next; None: everything was said."""
        return None if self._next is None else bytes((_FUNCTION, _MEI_TYPE, _BASIC, self._next))

    def take(self, pdu: bytes) -> bool:
        """False where the reply is an exception or none that can be read: the station is not asked on."""
        if len(pdu) < _HEAD_BYTES or pdu[0] != _FUNCTION or pdu[1] != _MEI_TYPE:
            return False
        more, following, count = pdu[4], pdu[5], pdu[6]
        at = _HEAD_BYTES
        for _ in range(count):
            if len(pdu) < at + 2 or len(pdu) < at + 2 + pdu[at + 1]:
                return False
            end = at + 2 + pdu[at + 1]
            self._objects[pdu[at]] = _text(pdu[at + 2 : end])
            at = end
        self._next = following if more else None
        return True

    @property
    def identity(self) -> Identity:
        found = self._objects
        return Identity(found.get(_VENDOR, ""), found.get(_PRODUCT, ""), found.get(_REVISION, ""))


def _text(raw: bytes) -> str:
    """Meant to be ASCII; whatever cannot be shown is left out."""
    return "".join(filter(str.isprintable, raw.decode("latin-1"))).strip()[:_TEXT]
