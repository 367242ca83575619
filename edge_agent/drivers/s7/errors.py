"""What can become of one request, beside the errors of contracts/errors.py and drivers/links.py."""

from typing import Final

_OPTIMIZED: Final = (
    "an S7-1200 or S7-1500 serves such blocks only without «optimized block access» (properties of the block)"
)
# Return codes of an item.
ITEM_GOOD: Final = 0xFF
HARDWARE_FAULT: Final = 0x01
_ITEM_TEXTS: Final = {
    0x00: "reserved code",
    HARDWARE_FAULT: "hardware fault",
    0x03: f"access not allowed; {_OPTIMIZED}",
    0x05: f"no such address: the block or area is shorter, or {_OPTIMIZED}",
    0x06: "data type not supported",
    0x07: "data type inconsistent",
    0x0A: f"no such block or area, or it is optimised: {_OPTIMIZED}",
}  # fmt: skip
# Codes that say that the address is configured wrongly.
_CONFIGURED: Final = frozenset({0x03, 0x05, 0x06, 0x07, 0x0A})
# Error class and code of a reply's header, and of userdata.
_PUT_GET: Final = (
    "the CPU refuses this service; on S7-1200 and S7-1500 allow «PUT/GET communication from remote partner» "
    "(protection and security of the CPU)"
)
_LOCKED: Final = "the CPU wants a password for this: lower its protection level, or allow reading without one"
_HEADER_TEXTS: Final = {
    0x8104: _PUT_GET,
    0x8304: f"access denied; {_PUT_GET}",
    0x8404: f"service not possible now or not allowed; {_PUT_GET}",
    0x8500: "message too long for the CPU: give the connection a smaller pdu",
    0x8702: "no such resource",
    0xD209: "no such item",
    0xD241: _LOCKED,
    0xD401: "information not available",
    0xD402: _LOCKED,
    0xD602: "wrong password",
    0xD604: _LOCKED,
    0xD605: _LOCKED,
}  # fmt: skip
_REFUSING: Final = frozenset({0x8104, 0x8304, 0xD241, 0xD402, 0xD401, 0xD602, 0xD604, 0xD605})


def item_text(code: int) -> str:
    return f"{_ITEM_TEXTS.get(code, 'unknown return code')} (code 0x{code:02X})"


def header_text(code: int) -> str:
    return f"{_HEADER_TEXTS.get(code, 'the CPU reports an error')} (error 0x{code:04X})"


class DeviceError(Exception):
    """The CPU answered this very request, and not with what was asked for.

    is_config: it will not do so until somebody changes the CPU's or the agent's configuration.
    """

    def __init__(self, text: str, *, is_config: bool = False) -> None:
        super().__init__(text)
        self.is_config = is_config


class Refusal(DeviceError):
    """The CPU said no to the whole job: it did nothing."""

    def __init__(self, code: int) -> None:
        super().__init__(header_text(code), is_config=code in _REFUSING)


def is_config(item_code: int) -> bool:
    """Whether an item's return code says that its address is wrong, and not that something is broken."""
    return item_code in _CONFIGURED
