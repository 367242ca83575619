"""A group that is read as a whole each time. I/O; what it decides is where a group is cut."""

from collections.abc import Sequence
from typing import Any, Final

from asyncua import ua

from edge_agent.contracts.driver import Reading
from edge_agent.drivers.opcua import requests
from edge_agent.drivers.opcua.binary import DataValue, Garbled
from edge_agent.drivers.opcua.errors import Fault, Unanswered, status_text
from edge_agent.drivers.opcua.learning import Learned
from edge_agent.drivers.opcua.link import Link
from edge_agent.drivers.opcua.messages import read_values
from edge_agent.drivers.opcua.nodes import node_id
from edge_agent.drivers.opcua.plan import OpcUaPlan
from edge_agent.drivers.opcua.quality import NODE_UNKNOWN, mark_of
from edge_agent.drivers.opcua.structures import plain
from edge_agent.drivers.packing import MISSING, Mark, Packer

_MOST_ERRORS: Final = 100
# What a server says where it will not do so much at once.
_TOO_MUCH: Final = frozenset({0x80100000, 0x80B80000, 0x80B90000, 0x80080000})
_UNKNOWN_RESPONSE: Final = 0x80090000


class Polled:
    """One plan's requests to one server, over one session."""

    def __init__(self, plan: OpcUaPlan, namespaces: Sequence[str], chunk: int) -> None:
        self._plan = plan
        self._packer = Packer(plan.schema)
        self._known: list[tuple[int, ua.ReadValueId]] = []
        self._unknown: list[int] = []
        for tag, item in enumerate(plan.items):
            node = node_id(item.address, namespaces)
            if node is None:
                self._unknown.append(tag)
            else:
                self._known.append((tag, requests.to_read(item, node)))
        self._chunk = chunk

    async def read(self, link: Link, learned: Learned) -> Reading:
        """Raises NotConnected."""
        values: list[Any] = [None] * len(self._plan.items)
        marks: dict[int, Mark] = dict.fromkeys(range(len(values)), MISSING)
        times: list[int | None] = [None] * len(values)
        errors: dict[str, str] = {}
        unanswered = False
        for tag in self._unknown:
            self._refuse(tag, NODE_UNKNOWN, marks, errors)
        at = 0
        while at < len(self._known):
            some = self._known[at : at + self._chunk]
            try:
                found = await self._ask(link, learned, some)
            except Unanswered as error:
                errors["read"], unanswered = str(error), True
                break
            except Fault as fault:
                if fault.status & 0xFFFF0000 in _TOO_MUCH and self._chunk > 1:
                    self._chunk //= 2
                    continue
                errors["read"] = str(fault)
                for tag, _ in some:
                    self._refuse(tag, fault.status, marks, {})
            else:
                for (tag, _), value in zip(some, found, strict=True):
                    self._take(tag, value, values, marks, times, errors)
            at += len(some)
        return self._packer.reading(values, marks, times, errors, unanswered=unanswered)

    async def _ask(
        self, link: Link, learned: Learned, some: Sequence[tuple[int, ua.ReadValueId]]
    ) -> list[DataValue]:
        data = await link.ask(requests.read([each for _, each in some]))
        try:
            status, found, opaque = read_values(data)
        except Garbled as error:
            link.drop(f"an answer cannot be read: {error}")
            raise Unanswered(f"an answer cannot be read: {error}") from error
        if status or len(found) != len(some):
            raise Fault(status or _UNKNOWN_RESPONSE)
        if opaque:
            await learned.learn(link, [each.value for each in found])
            for each in found:
                each.value = plain(each.value, learned.definitions)
        return found

    def _take(
        self, tag: int, found: DataValue, values: list[Any], marks: dict[int, Mark],
        times: list[int | None], errors: dict[str, str],
    ) -> None:  # fmt: skip
        values[tag], times[tag] = found.value, found.source_ms
        mark = mark_of(found.status, empty=found.value is None)
        if mark is None:
            del marks[tag]
            return
        marks[tag] = mark
        if found.status >> 31 and len(errors) < _MOST_ERRORS:
            errors[str(self._plan.items[tag].address)] = status_text(found.status)

    def _refuse(self, tag: int, status: int, marks: dict[int, Mark], errors: dict[str, str]) -> None:
        mark = mark_of(status, empty=True)
        if mark is not None:
            marks[tag] = mark
        if len(errors) < _MOST_ERRORS:
            errors[str(self._plan.items[tag].address)] = status_text(status)
