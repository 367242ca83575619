"""What can become of one request, beside the errors that cross rooms (contracts/errors.py)."""

from asyncua.ua.status_codes import get_name_and_doc


def status_text(status: int) -> str:
    """`BadNodeIdUnknown (0x80340000)`."""
    name, _ = get_name_and_doc(status & 0xFFFF0000)
    return f"{name} (0x{status:08X})"


class Unanswered(Exception):
    """No usable answer came in time: the link has been dropped."""


class Fault(Exception):
    """The server answered that it will not serve this request."""

    def __init__(self, status: int) -> None:
        super().__init__(status_text(status))
        self.status = status
