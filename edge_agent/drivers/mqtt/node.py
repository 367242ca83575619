"""One edge node of Sparkplug B: births, sequence, aliases, deaths. Pure.

Source: Sparkplug 3.0.0, 5 and 6.4. A node numbers all its messages from 0 to 255 and round again, but not
its death, which the broker sends. After a hole nobody knows what an alias means, since a birth may have
been in it: metrics without a name then count for nothing until the next birth of the node.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from edge_agent.drivers.mqtt.errors import BadPayload
from edge_agent.drivers.mqtt.metric import SparkplugTopic
from edge_agent.drivers.mqtt.sparkplug import Metric, SparkplugPayload

_BD_SEQ: Final = "bdSeq"
_ROUND: Final = 256
# A node may name so many metrics; what is above that has no alias here.
MAX_METRICS: Final = 100_000


class Update(NamedTuple):
    """A metric's news. error: why there is no value. quality: OPC's code of old, where the node gives one."""

    device: str
    metric: str
    value: Any
    source_ms: int | None
    is_historical: bool
    error: str = ""
    quality: int | None = None


@dataclass(slots=True)
class Outcome:
    """What a message means.

    born: the device that now has names for all it has; empty: the node itself. dead: those whose values
    count no more; None stands for the node and all its devices. doubt: why values may be missing, for
    people; the node must be asked for its births then.
    """

    updates: list[Update] = field(default_factory=list)
    born: str | None = None
    dead: list[str | None] = field(default_factory=list)
    doubt: str = ""


@dataclass(slots=True)
class _Names:
    """What a birth said: name and data type by alias, data type by name."""

    by_alias: dict[int, str] = field(default_factory=dict)
    types: dict[str, int] = field(default_factory=dict)


class Node:
    """What is known of one edge node over this link. devices: whose metrics are wanted; empty: the node's.
    Others are numbered with the rest, and nothing of them is kept: anybody may give birth to any number."""

    def __init__(self, devices: Iterable[str]) -> None:
        self._devices = frozenset(devices)
        self._seq: int | None = None
        self._bd_seq: int | None = None
        self._births: dict[str, _Names] = {}
        self._last: tuple[str, bytes] | None = None
        self.is_born = False

    def forget(self) -> None:
        """Messages may have been missed: nothing is known any more."""
        self._seq, self._births, self.is_born, self._last = None, {}, False, None

    def take(self, topic: SparkplugTopic, payload: SparkplugPayload, data: bytes) -> Outcome:
        """topic: its kind is one of KINDS. data: the payload's bytes, by which one that comes twice in a row
        is known."""
        kind, device = topic.kind, topic.device
        if kind == "NDEATH":
            return self._node_died(payload)
        if self._last == (f"{kind}/{device}", data):
            return Outcome()
        outcome = Outcome()
        if kind == "NBIRTH":
            if not self._begin(payload):
                outcome.dead.append(None)
        elif hole := self._count(payload.seq):
            self.forget()
            outcome.doubt = hole
            outcome.dead.append(None)
        self._last = (f"{kind}/{device}", data)
        if kind == "DDEATH":
            self._births.pop(device, None)
            outcome.dead.append(device)
            return outcome
        if device not in self._devices:
            return outcome
        if kind in ("NBIRTH", "DBIRTH"):
            self._births[device] = _names(payload.metrics)
            outcome.born = device
        outcome.updates = list(self._updates(device, payload, outcome))
        return outcome

    def _begin(self, payload: SparkplugPayload) -> bool:
        """A node's birth. Whether it is the same life, told again: its devices then live on."""
        before, self._bd_seq = self._bd_seq, _bd_seq(payload)
        is_same = self.is_born and before is not None and before == self._bd_seq
        self._births = {}
        self.is_born = True
        self._seq = payload.seq
        return is_same

    def _count(self, seq: int | None) -> str:
        """What is missing before this message; empty: nothing."""
        last, self._seq = self._seq, seq
        if seq is None:
            return "a message without a sequence number"
        if last is None or seq == (last + 1) % _ROUND:
            return ""
        return f"the sequence went from {last} to {seq}: messages are missing"

    def _node_died(self, payload: SparkplugPayload) -> Outcome:
        said = _bd_seq(payload)
        if self._bd_seq is not None and said is not None and said != self._bd_seq:
            return Outcome()  # of a link that the node has left already (6.4.3)
        self.forget()
        self._bd_seq = None
        return Outcome(dead=[None])

    def _updates(self, device: str, payload: SparkplugPayload, outcome: Outcome) -> Iterator[Update]:
        names = self._births.get(device, _Names())
        for metric in payload.metrics:
            name, datatype = _identity(metric, names)
            if not name:
                outcome.doubt = outcome.doubt or f"alias {metric.alias}: no birth says what it is"
                continue
            if datatype is None:
                outcome.doubt = outcome.doubt or f"{name}: no birth says its data type"
                continue
            source = metric.timestamp if metric.timestamp is not None else payload.timestamp
            try:
                value, error = metric.value(datatype), ""
            except BadPayload as bad:
                value, error = None, str(bad)
            yield Update(device, name, value, source, metric.is_historical, error, metric.quality)


def _identity(metric: Metric, names: _Names) -> tuple[str, int | None]:
    """Name and data type; empty and None where nobody has said them."""
    name = metric.name
    if not name and metric.alias is not None:
        name = names.by_alias.get(metric.alias, "")
    return name, metric.datatype if metric.datatype is not None else names.types.get(name)


def _names(metrics: list[Metric]) -> _Names:
    found = _Names()
    for metric in metrics[:MAX_METRICS]:
        if metric.alias is not None and metric.name:
            found.by_alias[metric.alias] = metric.name
        if metric.datatype is not None:
            found.types[metric.name] = metric.datatype
    return found


def _bd_seq(payload: SparkplugPayload) -> int | None:
    for metric in payload.metrics:
        if metric.name == _BD_SEQ and isinstance(metric.raw, int):
            return metric.raw
    return None
