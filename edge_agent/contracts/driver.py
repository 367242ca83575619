"""What a protocol driver is to the rest of the agent.

A driver's room exports `SPEC`, a `DriverSpec`. The pipeline calls one method of a driver at a time. The
driver bounds every network await by the time-out of its own settings and reports what happened; it never
retries, never backs off, never reconnects by itself and logs nothing per request: the pipeline owns all
of that. Planning is pure: `plan` does no I/O and needs no connection.

Liveness is judged by data (`runtime/liveness`). A group that is polled lives by readings in which the
device told something of at least one tag: a bad quality that the device itself gives counts, bad_comm and
stale do not. A subscription lives by its newest sample or by the server's keepalive for this very
subscription, never by that of its session or socket: those stay up over a subscription that has died. A
driver that gets no such keepalives asks the server for samples of what has not changed either.

A subscription is a plan like any other: the pipeline calls `read` at the group's interval, and the driver
hands over what has come since the last call (`Reading.news`). So reconnecting, breakers, liveness and
accounting are the same for what is polled and for what is sent.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

from pydantic import BaseModel

from edge_agent.wire.frame import JsonValue
from edge_agent.wire.quality import QualityRun, SourceRun
from edge_agent.wire.schema import Schema


class Capability(StrEnum):
    READ = "read"
    SUBSCRIBE = "subscribe"
    WRITE = "write"
    BROWSE = "browse"


@dataclass(frozen=True, slots=True)
class RequestSummary:
    """One request of a plan, for `edge-agent plan`.

    text: what is asked, in the protocol's words (`holding 100..224, unit 1`).
    tags: how many tags it serves. sent_bytes, received_bytes: on the wire, framing included.
    bus_seconds: what the wire's physics take (serial baud, delays between requests), without the PLC.
    """

    text: str
    tags: int
    sent_bytes: int
    received_bytes: int
    bus_seconds: float


class Plan(Protocol):
    """The requests that serve one group's tags. Made by the driver, opaque to all others."""

    @property
    def schema(self) -> Schema:
        """The group's tags in the order of the rows that `read` returns."""
        ...

    @property
    def requests(self) -> Sequence[RequestSummary]: ...

    @property
    def notes(self) -> Sequence[str]:
        """How addresses were understood where people write them in more than one way."""
        ...


@dataclass(slots=True)
class Part:
    """Some tags' values at one moment: a piece of what a subscription brought.

    tags: a byte for each tag of the schema, 1 where it is in this part, else 0.
    row: as in a Reading, `schema.row_bytes` long, zeros for tags without a value and for those that are not
      in this part; `b""` where no tag of the row has a value here.
    text: one value for each tag that travels as JSON, None for those that are not in this part; None where
      the schema has no such tag.
    quality, source: ascending runs within the tags of this part.
    """

    tags: bytes
    row: bytes
    text: tuple[JsonValue, ...] | None = None
    quality: tuple[QualityRun, ...] = ()
    source: tuple[SourceRun, ...] = ()


@dataclass(slots=True)
class Reading:
    """What one `read` brought: a row, and what is wrong with it.

    row: the fixed-size values in the order of `plan.schema`, `schema.row_bytes` long; `b""` where no tag
      of the row has a value. Bytes of null tags are zeros.
    text: one value for each tag that travels as JSON; None where the schema has no such tag.
    quality: ascending runs of the tags that are not plainly good.
    source: the protocol's own time stamps, if it gives any.
    unanswered: the unit did not answer a request in time. The driver then asks it nothing more in this
      read; the tags that were not read are bad_comm. The pipeline counts this against the unit.
    errors: what went wrong, for people, by what it concerns (`holding 100..101` → `illegal data address`).

    Of a subscription, where `news` is not None:
    news: what came since the last read, in order; each tag is in a part at most once, and its changes are in
      the order of the parts. `row`, `text`, `quality` and `source` of the Reading itself are empty then.
    alive: the server spoke for this very subscription since the last read, be it only a keepalive.
    lost: what cannot come any more, for people: each becomes an event in the device's history.
    """

    row: bytes
    text: tuple[JsonValue, ...] | None = None
    quality: tuple[QualityRun, ...] = ()
    source: tuple[SourceRun, ...] = ()
    unanswered: bool = False
    errors: dict[str, str] | None = None
    news: tuple[Part, ...] | None = None
    alive: bool = True
    lost: tuple[str, ...] = ()


class Driver(Protocol):
    """A connection's link to its PLC. The constructor does no I/O."""

    async def connect(self) -> None:
        """Opens the link. Raises NotConnected with the reason. Called again after each NotConnected."""
        ...

    async def read(self, plan: Any) -> Reading:
        """Reads a group once. A bad tag yields bad quality; a lost link raises NotConnected.

        The first read of a subscription after `connect` makes it, and may wait for first values as long as
        the transport's time-out; later ones only hand over what is there. What the driver holds between two
        reads is bounded, and what it had to drop is told in `lost`.

        A reply that comes late, twice, cut short or from somebody else never becomes a value of this or
        of a later reading. Where the protocol cannot tell such replies apart (no transaction id), the
        driver drops the link after an unanswered request and raises NotConnected at the next call.
        Safe to cancel: the next call works or raises NotConnected. A call that does not end when it is
        cancelled is left behind; this object then gets `close`, and another one its work.
        """
        ...

    async def close(self) -> None:
        """Closes the link. Never raises, may be called twice, and before `connect`."""
        ...


@dataclass(frozen=True, slots=True)
class Identity:
    """Who made a unit, as it says itself; empty where it does not say."""

    vendor: str = ""
    product: str = ""
    revision: str = ""


@runtime_checkable
class Identifying(Protocol):
    """A driver whose protocol lets it ask a unit who it is."""

    async def identify(self, unit_id: int | None) -> Identity | None:
        """None where the unit does not say. Raises NotConnected.

        Called between reads, when nothing else is due. Safe to cancel, which is how the pause ends: what
        was asked must not harm the next read.
        """
        ...


@runtime_checkable
class Writing(Protocol):
    """A driver that can write. A target is what `DriverSpec.target` made of one tag: opaque, picklable.

    Values are raw, as the schema holds them before scale, offset and enum; their type and range were
    checked against the tag's. Only the pipeline calls these, and only for tags of the local allow-list.
    """

    async def write(self, target: Any, value: JsonValue) -> None:
        """Sends one write request, once. Returns where the device acknowledged it.

        Raises NotConnected where nothing was sent, WriteRefused where the device said no, and WriteUnknown
        where the request may or may not have been carried out: no answer in time, a link that broke, a
        cancellation. It is never sent again by itself.
        """
        ...

    async def read_target(self, target: Any) -> JsonValue:
        """The raw value that the device holds now, for reading back. Raises NotConnected, and Unsupported
        where it cannot be read."""
        ...


@runtime_checkable
class Subscribing(Protocol):
    """A driver that is sent values. What a peer was told to be taken must not go with the link."""

    def left_over(self, plan: Any) -> Reading | None:
        """What came for a subscribed plan and no read has handed over; None: nothing, or the plan is polled.

        Called when the link is about to be closed for good, and once more when it is. Does not wait. What the
        peer will send again, since it was not told, is left out.
        """
        ...


@runtime_checkable
class Acknowledging(Protocol):
    """A driver whose peer keeps what it sent until it is told: a killed agent gets it again."""

    def taken(self, plan: Any) -> None:
        """What was handed over last for this plan is in frames: the peer may be told. Does not wait."""
        ...

    def when_full(self, hurry: Callable[[], None]) -> None:
        """hurry: to be called where the peer may send nothing more before something is taken. Every plan is
        read soon then, whatever its interval."""
        ...


@dataclass(frozen=True, slots=True)
class Browsed:
    """Something that a server offers. path: of names, from where browsing began. address: as a tag has it.

    is_tag: it has a value; else it is a folder. type: the tag's, empty where no type of ours fits.
    """

    path: tuple[str, ...]
    address: str
    is_tag: bool
    type: str = ""
    count: int = 1
    writable: bool = False
    unit: str = ""
    description: str = ""


@runtime_checkable
class Browsing(Protocol):
    """A driver whose protocol tells what there is."""

    def browse(self, start: str, depth: int) -> AsyncIterator[Browsed]:
        """What stands under `start` (an address; empty: the root), at most `depth` levels down, each thing
        once. Raises NotConnected, and ConfigError for a start that cannot be."""
        ...


@dataclass(frozen=True, slots=True)
class DriverSpec:
    """What the registry knows about a driver.

    settings: the connection's model, a subclass of `config.models.ConnectionSettings`.
    plan: (connection settings, group settings) → Plan; raises ConfigError for what can never work.
    factory: connection settings → Driver, without I/O.
    requires: libraries that only the factory's driver imports, so that checking a config needs none of them.
    target: (connection, group, tag settings) → what `Writing.write` needs to know of the tag; raises
      ConfigError for a tag that can never be written. None: the driver cannot write.
    """

    name: str
    summary: str
    settings: type[BaseModel]
    capabilities: frozenset[Capability]
    plan: Callable[[Any, Any], Plan]
    factory: Callable[[Any], Driver]
    requires: tuple[str, ...] = ()
    target: Callable[[Any, Any, Any], Any] | None = None
