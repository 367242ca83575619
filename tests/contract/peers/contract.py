"""What a driver's peer must be able to do for the contract suite.

A peer is a simulated PLC (server, broker) with the faults that the suite asks for. What a protocol does not
have is said here by an attribute, and the suite then asks for what is the same thing there: no case is left
out quietly.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from edge_agent.wire.frame import JsonValue


@dataclass(frozen=True, slots=True)
class WriteTarget:
    """A tag that the peer lets a client write.

    group: as in `Peer.groups`, with this one tag and nothing else. values: two raw values, neither of them
    what the peer holds after its start.
    """

    group: dict[str, Any]
    values: tuple[JsonValue, JsonValue]


class Peer(Protocol):
    """A simulated PLC of one protocol. `start` after `stop` listens at the same address.

    driver: its name in the registry. address: names the peer in errors.
    timeout_seconds: the transport's time-out in `settings`, 0.1 to 0.2.
    connects: there are connections, which the peer may refuse or forget.
    subscribes: `groups` are subscriptions: readings come as news, and the server tells that a subscription
      lives (`Reading.alive`). Else `read` asks, and one reading holds the whole row.
    source_times: values come with the protocol's own times.
    write_target: None where the driver cannot write.
    """

    driver: str
    timeout_seconds: float
    connects: bool
    address: str
    subscribes: bool
    source_times: bool

    @property
    def write_target(self) -> WriteTarget | None: ...

    async def start(self) -> None: ...
    async def stop(self) -> None: ...

    def settings(self) -> dict[str, Any]:
        """The connection as in the YAML, without groups."""
        ...

    def groups(self) -> list[dict[str, Any]]:
        """Two groups of good tags, whose values do not move by themselves and differ from each other."""
        ...

    def bad_group(self) -> dict[str, Any]:
        """A group of three tags of which the second (row order) does not exist until `answer_again`."""
        ...

    # --- faults ----------------------------------------------------------------------------------

    def be_silent(self) -> None:
        """No request is answered, nothing is sent, and the links stay open; until `answer_again`."""
        ...

    def answer_again(self) -> None:
        """Ends all faults but those of connections that were frozen."""
        ...

    def be_late_once(self) -> None:
        """The next answer comes after 1.5 time-outs. Not called where `subscribes`."""
        ...

    def freeze_connections(self) -> None:
        """The present connections are never answered again and stay open; new ones work."""
        ...

    def refuse_writes(self) -> None:
        """Each write is answered by the protocol's no, and changes nothing; until `answer_again`."""
        ...

    def lose_write_reply(self) -> None:
        """The next write is carried out, and its answer never comes."""
        ...

    def kill_subscriptions(self) -> None:
        """The present subscriptions die without a word: the link stays open and other requests are
        answered, and new subscriptions work. Called only where `subscribes`."""
        ...

    # --- what it holds and has seen ------------------------------------------------------------------

    def change(self, values: Sequence[JsonValue]) -> None:
        """The first tag (row order) of the first group takes these raw values one after the other, and all
        of them are sent. Called only where `subscribes`."""
        ...

    def requests(self) -> int:
        """Requests that came so far, for whatever (packets of a client, where a protocol has no requests)."""
        ...

    def writes(self) -> int:
        """How many of them were requests to write, carried out or not."""
        ...

    def row(self, group: int) -> bytes:
        """The row of `groups()[group]` in schema order, with `write_target` never in it."""
        ...

    def written(self) -> JsonValue:
        """The raw value that the tag of `write_target` holds."""
        ...

    def source_ms(self, group: int) -> int | None:
        """The source time of all values of that group; None where `source_times` is not."""
        ...
