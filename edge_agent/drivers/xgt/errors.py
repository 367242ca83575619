"""What can become of one request, beside the errors of contracts/errors.py and drivers/links.py."""

from typing import Final

# XGL-EFMTB manual 10.4.1 and XGL-EFMF manual 7; codes beyond these were seen, and are in no manual.
_TEXTS: Final = {
    0x01: "more than 16 blocks in one request",
    0x02: "a data type other than bit, byte, word, dword and lword",
    0x03: "this CPU has no such area",
    0x04: "the address is behind the end of its area",
    0x05: "a block of more than 1,400 bytes",
    0x06: "blocks of more than 1,400 bytes together",
    0x75: "the company id in the header is wrong",
    0x76: "the length in the header is wrong",
    0x77: "the checksum of the header is wrong",
    0x78: "the PLC does not know this command",
}
_LIMITS: Final = (0x05, 0x06)


def refusal_text(code: int) -> str:
    text = _TEXTS.get(code, "refused for a reason that no manual names")
    hint = "; set max_bytes lower" if code in _LIMITS else ""
    return f"{text} (error 0x{code:02X}){hint}"


class Refused(Exception):
    """The PLC said no to this very request (NAK)."""

    def __init__(self, code: int) -> None:
        super().__init__(refusal_text(code))
        self.code = code


class DeviceError(Exception):
    """The PLC answered this very request, and not with what was asked for."""
