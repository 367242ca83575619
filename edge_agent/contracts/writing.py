"""Writing one tag: who orders it, how it ends, and the link that carries it."""

from typing import Any, Protocol

from pydantic import Field, JsonValue

from edge_agent.contracts.status import Report


class WriteOrder(Report):
    """value: in engineering units; a text is read by the tag's type. by, source: who, and from where."""

    tag: str = Field(max_length=300)
    value: JsonValue
    by: str = Field("", max_length=200)
    source: str = Field("", max_length=200)
    command: str = Field("", max_length=100)


class WriteReport(Report):
    """How a write ended.

    state: confirmed (it was read back), unconfirmed (the device took it, and reading it back was not wanted
      or failed), differs (the device took it, and holds something else), refused (nothing was sent, or the
      device said no), unknown (it may or may not have been carried out; it was not sent again).
    code: for programs, where it is none of the first two: not_writable, bad_value, out_of_range, too_often,
      not_connected, not_journalled, device_refused, differs, unknown.
    value: what was to be written, in engineering units; raw: as it is sent. before, after: what was read
      around it, None where nothing was.
    """

    id: str = ""
    tag: str
    state: str
    code: str = ""
    message: str = ""
    value: JsonValue = None
    raw: JsonValue = None
    before: JsonValue = None
    after: JsonValue = None


class WriteControl(Protocol):
    """What the local API asks for. `app` implements it."""

    async def write(self, order: WriteOrder) -> WriteReport: ...


class WriteLink(Protocol):
    """One connection's link, for whoever may write over it. Implemented by the poller, or by a link of its
    own where no agent runs."""

    async def write(self, unit_id: int | None, target: Any, value: JsonValue, seconds: float, /) -> None:
        """Sends one request, before reads that are due. Raises NotConnected where nothing was sent, also
        where its turn did not come within so many seconds; WriteRefused and WriteUnknown as a driver."""
        ...

    async def read_target(self, unit_id: int | None, target: Any, seconds: float, /) -> JsonValue:
        """The raw value now. Raises NotConnected and Unsupported."""
        ...
