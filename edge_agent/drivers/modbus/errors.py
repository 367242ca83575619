"""What can become of one request, beside the errors of contracts/errors.py and drivers/links.py."""

from typing import Final

# Modbus Application Protocol V1.1b3, 7.
_TEXTS: Final = {
    1: "illegal function", 2: "illegal data address", 3: "illegal data value", 4: "device failure",
    5: "acknowledged, not yet done", 6: "device busy", 7: "negative acknowledge", 8: "memory parity error",
    10: "gateway path unavailable", 11: "gateway target does not respond",
}  # fmt: skip


def exception_text(code: int) -> str:
    return f"{_TEXTS.get(code, 'unknown exception')} (exception {code})"


class Refused(Exception):
    """The station will not read these addresses: a part of them is configured wrongly."""

    def __init__(self, code: int) -> None:
        super().__init__(exception_text(code))
        self.code = code


class DeviceError(Exception):
    """The station answered this very request, and not with what was asked for."""
