"""What an exchange with the centre can end in, by what must happen next."""

from edge_agent.wire.ranges import Ranges


class UplinkFault(Exception):
    """Root of this room's errors."""


class Unreachable(UplinkFault):
    """No answer, a server error, or an answer that is not the centre's: the same bytes again, soon."""


class Unusable(Unreachable):
    """As Unreachable, of a peer that takes connections: no answer came, or none that only a centre gives."""


class Refused(UplinkFault):
    """401, 403 or 404: keep everything, the credential too, and ask again in minutes. code: as the centre's
    problem document says; empty where somebody else answered, be it a proxy without a centre behind it."""

    def __init__(self, message: str, status: int, code: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class NotAccepted(Refused):
    """401: the centre does not accept this device's credential. It is kept: one spurious 401 must not cost
    it, and the centre may think better of it."""


class RetryAfter(UplinkFault):
    """429 or 503: the centre asks for a pause."""

    def __init__(self, message: str, delay_seconds: float) -> None:
        super().__init__(message)
        self.delay_seconds = delay_seconds


class Invalid(UplinkFault):
    """400: something in this request is not acceptable; find out which batch it is."""


class Blocked(UplinkFault):
    """The centre cannot take something in this request, through no fault of its content.

    Find out which batch it is and set that aside, without loss, until the centre is changed.
    """


class BodyTooLarge(Blocked):
    """413: fewer batches in a request. is_own: no message of this way carries it; nobody was asked."""

    def __init__(self, message: str, max_bytes: int | None, *, is_own: bool = False) -> None:
        super().__init__(message)
        self.max_bytes = max_bytes
        self.is_own = is_own


class SeqConflict(UplinkFault):
    """409: the centre has other content under these names of `epoch`; without any it is no such answer."""

    def __init__(self, message: str, epoch: str = "", conflicts: Ranges | None = None) -> None:
        super().__init__(message)
        self.epoch = epoch
        self.conflicts: Ranges = conflicts or []
