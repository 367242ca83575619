"""Reads plans from a station, and writes: the driver's I/O. What it decides: plan, split, harvest, write.

One request is in flight at a time. The one exception to «drivers do not reconnect»: where the peer has
closed a connection on which it had answered before, and no byte of an answer is missing, the driver opens
it again, once for each request. Some PLCs close after every reply, and a plan of two requests would
otherwise never complete. A request to write is sent over the new one only where it was not sent before.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final
from weakref import WeakKeyDictionary

from edge_agent.contracts.driver import Identity, Reading
from edge_agent.contracts.errors import NotConnected, Unsupported, WriteUnknown
from edge_agent.drivers.halving import PROBES_PER_READ
from edge_agent.drivers.links import Unanswered
from edge_agent.drivers.modbus.errors import DeviceError, Refused, exception_text
from edge_agent.drivers.modbus.framing import rtu_framer
from edge_agent.drivers.modbus.harvest import Harvest
from edge_agent.drivers.modbus.identification import MOST_REQUESTS, Identification
from edge_agent.drivers.modbus.opening import ModbusLink, open_link
from edge_agent.drivers.modbus.plan import Block, ModbusPlan
from edge_agent.drivers.modbus.settings import ModbusConnection
from edge_agent.drivers.modbus.split import Part, Trail
from edge_agent.drivers.modbus.transports import is_serial_line
from edge_agent.drivers.modbus.write import ModbusTarget, check_reply, decode, encode
from edge_agent.wire.frame import JsonValue

_ILLEGAL: Final = (1, 2, 3)
_GATEWAY_TARGET_SILENT: Final = 11
_EXCEPTION_BIT: Final = 0x80


class ModbusDriver:
    """Implements contracts.driver.Driver, Identifying and Writing.

    monotonic: seconds, for asking refused tags again.
    """

    def __init__(self, settings: ModbusConnection, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._transport = settings.transport
        self._may_identify = settings.identify
        self._delay = settings.inter_request_delay
        self._monotonic = monotonic
        self._link: ModbusLink | None = None
        # For each plan, what was learnt about those of its blocks that were ever refused, by index.
        self._trails: WeakKeyDictionary[ModbusPlan, dict[int, Trail]] = WeakKeyDictionary()
        self._probes_left = 0
        self._late: dict[int, float] = {}  # of a serial line, whose late replies outlive its link
        if is_serial_line(settings.transport):
            rtu_framer()  # imported here rather than in the middle of a poll

    async def connect(self) -> None:
        await self.close()
        self._link = await self._open()
        for trails in self._trails.values():
            for trail in trails.values():
                trail.retry_at_once()

    async def close(self) -> None:
        if self._link is not None:
            self._link.drop("closed")
            self._link = None

    async def read(self, plan: ModbusPlan) -> Reading:
        harvest = Harvest(plan)
        trails = self._trails.get(plan)
        if trails is None:
            trails = self._trails[plan] = {}
        self._probes_left = PROBES_PER_READ
        for index, block in enumerate(plan.blocks):
            try:
                if index not in trails:
                    harvest.whole(index, await self._ask(plan.unit_id, block))
                    continue
            except Refused as refusal:
                trails[index] = Trail.of(block, refusal.code, self._monotonic())
            except DeviceError as error:
                harvest.failed(block, str(error))
                continue
            except Unanswered as error:
                harvest.stop(index, str(error))
                break
            if not await self._read_parts(harvest, index, trails[index]):
                break
            if trails[index].healed:
                del trails[index]
        return harvest.reading()

    async def identify(self, unit_id: int | None) -> Identity | None:
        if unit_id is None or not self._may_identify:
            return None
        said = Identification()
        for _ in range(MOST_REQUESTS):
            if (pdu := said.next_request()) is None:
                break
            try:
                if not said.take(await self._request(unit_id, pdu)):
                    return None
            except Unanswered:
                return None
        return said.identity if said.identity != Identity() else None

    async def write(self, target: ModbusTarget, value: JsonValue) -> None:
        request = encode(target, value)
        if self._delay:
            await asyncio.sleep(self._delay)
        reply = await self._send_once(target.unit_id, request)
        try:
            check_reply(request, reply)
        except WriteUnknown as error:
            if reply[0] == request[0]:  # it acknowledges another one: ours may still come
                self._distrust(str(error))
            raise

    async def read_target(self, target: ModbusTarget) -> JsonValue:
        try:
            return decode(target, await self._ask(target.unit_id, target.block))
        except Unanswered as error:
            raise NotConnected(str(error)) from error
        except (Refused, DeviceError, UnicodeError) as error:
            raise Unsupported(str(error)) from error

    async def _send_once(self, unit_id: int, request: bytes) -> bytes:
        """Raises NotConnected where nothing was sent, and WriteUnknown where something was."""
        link = self._link
        if link is not None and link.lost and link.peer_closed:
            link = await self._reopened(link)
        if link is None:
            raise NotConnected("not connected")
        return await link.request_once(unit_id, request)

    async def _read_parts(self, harvest: Harvest, index: int, trail: Trail) -> bool:
        """Reads a block in parts. Returns False where the unit does not answer any more."""
        harvest.split(index)
        now = self._monotonic()
        unit_id = harvest.plan.unit_id
        queue = deque([*trail.parts, *trail.due(now)])
        while queue:
            part = queue.popleft()
            if not self._may_ask(part):
                continue
            try:
                harvest.part(index, part.block, await self._ask(unit_id, part.block))
            except Refused as refusal:
                queue.extendleft(reversed(trail.refused(part, refusal.code, now)))
            except DeviceError as error:
                harvest.failed(part.block, str(error))
            except Unanswered as error:
                harvest.stop(index, str(error))
                return False
            else:
                trail.answered(part)
        trail.settle()
        for bad in trail.bad.values():
            harvest.bad_item(trail.root.area, bad.item, exception_text(bad.code))
        return True

    def _may_ask(self, part: Part) -> bool:
        """Requests that are known to work, and trials, which cost one at most, are always asked."""
        if part.proven or part.fallback:
            return True
        self._probes_left -= 1
        return self._probes_left >= 0

    async def _ask(self, unit_id: int, block: Block) -> bytes:
        """The data of one reply. Raises Refused, DeviceError, Unanswered, NotConnected."""
        if self._delay:
            await asyncio.sleep(self._delay)
        pdu = await self._request(unit_id, block.pdu)
        function = block.area.function
        if pdu[0] == function:
            data = pdu[2:]
            if len(data) == block.data_bytes == pdu[1]:
                return data
            raise self._distrust(f"the reply announces {pdu[1]} bytes, not {block.data_bytes}")
        if pdu[0] != function | _EXCEPTION_BIT or len(pdu) != 2:
            raise self._distrust(f"the reply is to function {pdu[0]} instead of {function}")
        code = pdu[1]
        if code in _ILLEGAL:
            raise Refused(code)
        if code == _GATEWAY_TARGET_SILENT:
            raise Unanswered(exception_text(code))
        raise DeviceError(exception_text(code))

    def _distrust(self, text: str) -> Exception:
        """A reply that cannot be used. Without transaction ids it may be that to another request."""
        if self._link is None or self._link.names_replies:
            return DeviceError(text)
        self._link.drop(text)
        return Unanswered(text)

    async def _request(self, unit_id: int, pdu: bytes) -> bytes:
        link = self._link
        if link is None:
            raise NotConnected("not connected")
        try:
            return await link.request(unit_id, pdu)
        except NotConnected:
            if not link.peer_closed:
                raise
        return await (await self._reopened(link)).request(unit_id, pdu)

    async def _reopened(self, link: ModbusLink) -> ModbusLink:
        fresh = await self._open()
        if self._link is not link:  # closed meanwhile
            fresh.drop("closed")
            raise NotConnected("closed")
        self._link = fresh
        return fresh

    async def _open(self) -> ModbusLink:
        return await open_link(self._transport, self._late)
