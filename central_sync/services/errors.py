"""What the centre refuses. A class says what the caller must do; the API makes a problem document of it.

`code` is stable and for programs, the message is for people, `extra` joins the document's members.
"""

from typing import Any


class Refusal(Exception):
    """Root of this room's errors."""

    def __init__(self, code: str, detail: str, **extra: Any) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.extra = extra


class Invalid(Refusal):
    """Change the request; asking again is useless."""


class Unauthenticated(Refusal):
    """Bring a valid token."""


class Forbidden(Refusal):
    """The token is valid and may not do this."""


class NotFound(Refusal):
    """There is no such thing (yet)."""


class Conflict(Refusal):
    """The request contradicts what is stored."""


class Gone(Refusal):
    """It was good once, and its time is over: get a new one."""


class PreconditionFailed(Refusal):
    """Somebody was faster: read again, then decide."""


class TooLarge(Refusal):
    """Send less at once; `max` in the document says how much."""


class UnsupportedMedia(Refusal):
    """Send another content type or encoding."""


class Busy(Refusal):
    """Come back after `retry_after` seconds; nothing was stored."""

    def __init__(self, code: str, detail: str, retry_after: float = 1.0) -> None:
        super().__init__(code, detail)
        self.retry_after = retry_after


class TooMany(Refusal):
    """You ask too often: come back after `retry_after` seconds."""

    def __init__(self, code: str, detail: str, retry_after: float) -> None:
        super().__init__(code, detail)
        self.retry_after = retry_after
