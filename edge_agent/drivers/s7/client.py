"""Reads plans from a CPU, and writes: the I/O of the driver. What it decides: plan, trail, harvest, write.

One job is in flight at a time. The CPU's grant in the handshake says how long a message may be; a plan that
assumed another length is laid out anew for it. Why this is not python-snap7's client: docs/decisions/0032.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from weakref import WeakKeyDictionary

from edge_agent.contracts.driver import Identity, Reading
from edge_agent.contracts.errors import NotConnected, Unsupported, WriteRefused, WriteUnknown
from edge_agent.drivers.halving import PROBES_PER_READ
from edge_agent.drivers.links import Unanswered
from edge_agent.drivers.s7 import messages, szl
from edge_agent.drivers.s7.address import Area
from edge_agent.drivers.s7.blocks import Block, Request, pack
from edge_agent.drivers.s7.errors import HARDWARE_FAULT, ITEM_GOOD, DeviceError, Refusal, item_text
from edge_agent.drivers.s7.harvest import Harvest
from edge_agent.drivers.s7.link import S7Link, open_link
from edge_agent.drivers.s7.plan import Layout, S7Plan
from edge_agent.drivers.s7.settings import S7Connection
from edge_agent.drivers.s7.trail import Trail
from edge_agent.drivers.s7.write import S7Target, check_room, decode, encode, head_of
from edge_agent.wire.frame import JsonValue


class S7Driver:
    """Implements contracts.driver.Driver, Identifying and Writing.

    monotonic: seconds, for asking refused tags again.
    """

    def __init__(self, settings: S7Connection, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._transport = settings.transport
        self._pdu = settings.pdu
        self._may_identify = settings.identify
        self._monotonic = monotonic
        self._link: S7Link | None = None
        self._trails: WeakKeyDictionary[S7Plan, Trail] = WeakKeyDictionary()
        # Of plans that assumed a longer message than the CPU grants.
        self._layouts: WeakKeyDictionary[S7Plan, Layout] = WeakKeyDictionary()

    async def connect(self) -> None:
        await self.close()
        self._link = await open_link(self._transport, self._pdu)
        self._trails.clear()  # the CPU may have been loaded anew, or grant another length

    async def close(self) -> None:
        if self._link is not None:
            self._link.drop("closed")
            self._link = None

    async def read(self, plan: S7Plan) -> Reading:
        link = self._linked()
        trail = self._trails.get(plan)
        if trail is None:
            trail = self._trails[plan] = Trail(await self._layout(plan, link.pdu))
        harvest = Harvest(plan, trail.layout, in_order=trail.is_whole)
        now = self._monotonic()
        due = trail.due(now)[:PROBES_PER_READ]
        queue = deque([*trail.requests, *due])
        probes = PROBES_PER_READ - len(due)
        while queue:
            request = queue.popleft()
            try:
                answers = await self._ask(link, request.blocks)
            except DeviceError as error:
                harvest.failed(request, str(error), is_config=error.is_config)
                continue
            except Unanswered as error:
                harvest.stop(request, str(error))
                break
            halves = _take(harvest, trail, request, answers, now)
            if halves:
                more = pack(halves, link.pdu)[:probes]
                probes -= len(more)
                harvest.skipped()
                queue.extendleft(reversed(more))
        for bad in trail.bad.values():
            harvest.refused(bad.block, bad.code)
        return harvest.reading()

    async def identify(self, unit_id: int | None) -> Identity | None:
        if not self._may_identify or unit_id is not None:
            return None
        link = self._linked()
        found: list[bytes] = []
        for number in (szl.MODULE, szl.COMPONENT):
            try:
                found.append(await self._list(link, number))
            except DeviceError:
                found.append(b"")
            except Unanswered:
                return None
        try:
            return szl.identity(*found)
        except DeviceError:
            return None

    async def write(self, target: S7Target, value: JsonValue) -> None:
        change = encode(target, value)
        place, link = target.place, self._linked()
        if (head := head_of(target)) is not None:
            check_room(target, change, await self._head(head))
        pdu = messages.write_request(0, place.area, place.db, change.start, change.bit, change.data)
        if len(pdu) > link.pdu:
            raise WriteRefused(f"the CPU takes messages of {link.pdu} bytes, this one has {len(pdu)}")
        reply = await link.request_once(pdu)
        try:
            code = messages.write_reply(reply)
        except Refusal as error:
            raise WriteRefused(str(error)) from error
        except DeviceError as error:
            raise WriteUnknown(str(error)) from error
        if code == HARDWARE_FAULT:
            raise WriteUnknown(item_text(code))
        if code != ITEM_GOOD:
            raise WriteRefused(item_text(code))

    async def read_target(self, target: S7Target) -> JsonValue:
        try:
            (answer,) = await self._ask(self._linked(), [target.block])
        except Unanswered as error:
            raise NotConnected(str(error)) from error
        except DeviceError as error:
            raise Unsupported(str(error)) from error
        if isinstance(answer, int):
            raise Unsupported(item_text(answer))
        return decode(target, answer)

    async def _head(self, block: Block) -> bytes:
        """Raises NotConnected, and WriteRefused where it cannot be read: nothing was written."""
        try:
            (answer,) = await self._ask(self._linked(), [block])
        except Unanswered as error:
            raise NotConnected(str(error)) from error
        except DeviceError as error:
            raise WriteRefused(str(error)) from error
        if isinstance(answer, int):
            raise WriteRefused(item_text(answer))
        return answer

    async def _layout(self, plan: S7Plan, pdu: int) -> Layout:
        """Laying out many tags takes a while, in which other connections are polled."""
        if pdu == plan.planned.pdu:
            return plan.planned
        layout = self._layouts.get(plan)
        if layout is None or layout.pdu != pdu:
            layout = self._layouts[plan] = await asyncio.to_thread(plan.layout, pdu)
        return layout

    def _linked(self) -> S7Link:
        """Raises NotConnected, also where all of a plan is refused and nothing would be asked."""
        if self._link is None or self._link.lost:
            raise NotConnected(self._link.lost if self._link else "not connected")
        return self._link

    async def _ask(self, link: S7Link, blocks: Sequence[Block]) -> list[bytes | int]:
        """For each block its data or a return code. Raises DeviceError, Unanswered, NotConnected."""
        if blocks[0].area is Area.CPU:
            state = szl.operating_state(await self._list(link, szl.STATE))
            return [state.to_bytes()]
        return messages.read_reply(await link.request(messages.read_request(0, blocks)), blocks)

    async def _list(self, link: S7Link, number: int) -> bytes:
        """A system status list, whole. Raises DeviceError, Unanswered, NotConnected."""
        found, sequence = szl.reply(await link.request(szl.request(0, number)))
        for _ in range(szl.MOST_PARTS):
            if sequence is None:
                break
            more, sequence = szl.reply(await link.request(szl.next_request(0, sequence)))
            found += more
        return found


def _take(
    harvest: Harvest, trail: Trail, request: Request, answers: Sequence[bytes | int], now: float
) -> list[Block]:
    """Hands the answers on. Returns the parts of refused blocks that are to be asked instead."""
    halves: list[Block] = []
    for block, answer in zip(request.blocks, answers, strict=True):
        if isinstance(answer, bytes):
            harvest.took(block, answer)
            if trail.bad:
                trail.answered(block)
        else:
            halves += trail.refused(block, answer, now)
            harvest.skipped()
    return halves
