"""Names of Sparkplug B: topics and metrics. Pure. Source: Sparkplug 3.0.0, 4 and 5."""

from typing import Final, NamedTuple

NAMESPACE: Final = "spBv1.0"
# What a node or a device says of itself; the other kinds are commands to them.
KINDS: Final = frozenset({"NBIRTH", "NDATA", "NDEATH", "DBIRTH", "DDATA", "DDEATH"})
REBIRTH: Final = "Node Control/Rebirth"


class Edge(NamedTuple):
    """An edge node."""

    group: str
    node: str

    def __str__(self) -> str:
        return f"{self.group}/{self.node}"

    @property
    def filter(self) -> str:
        """Takes births, data and deaths of the node and of its devices."""
        return f"{NAMESPACE}/{self.group}/+/{self.node}/#"

    def topic(self, kind: str) -> str:
        return f"{NAMESPACE}/{self.group}/{kind}/{self.node}"


class Address(NamedTuple):
    """A metric. device: empty where it is the edge node's own."""

    edge: Edge
    device: str
    metric: str


class SparkplugTopic(NamedTuple):
    """kind: NBIRTH, NDATA, …"""

    edge: Edge
    kind: str
    device: str


def parse_address(text: str) -> Address:
    """`group/node/device:metric`, or `group/node:metric` for the node's own. Raises ValueError.

    The first colon ends the ids: metrics may have colons and slashes in their names.
    """
    ids, colon, metric = text.partition(":")
    parts = ids.split("/")
    if not colon or not metric or len(parts) not in (2, 3) or not all(parts):
        raise ValueError(f"{text!r} is no metric: write group/node/device:metric, or group/node:metric")
    if any(character in part for part in parts for character in "+#\0"):
        raise ValueError(f"{text!r}: ids of Sparkplug have neither + nor # in them")
    return Address(Edge(parts[0], parts[1]), parts[2] if len(parts) == 3 else "", metric)


def parse_topic(text: str) -> SparkplugTopic | None:
    """None for what is no topic of an edge node or device."""
    parts = text.split("/")
    if len(parts) not in (4, 5) or parts[0] != NAMESPACE:
        return None
    return SparkplugTopic(Edge(parts[1], parts[3]), parts[2], parts[4] if len(parts) == 5 else "")
