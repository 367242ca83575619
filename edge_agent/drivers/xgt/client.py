"""Reads plans from a PLC, and writes: the driver's I/O. What it decides: plan, split, harvest, write.

One request is in flight at a time. The one exception to «drivers do not reconnect»: where the PLC has closed
a connection on which it had answered before, and no byte of an answer is missing, the driver opens it again,
once for each request, because FEnet modules close connections that were idle for their waiting time. A
request to write is sent over the new one only where it was not sent before.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import Final
from weakref import WeakKeyDictionary

from edge_agent.contracts.driver import Identity, Reading
from edge_agent.contracts.errors import NotConnected, Unsupported, WriteRefused, WriteUnknown
from edge_agent.drivers.halving import PROBES_PER_READ
from edge_agent.drivers.links import Unanswered
from edge_agent.drivers.xgt import frames, status
from edge_agent.drivers.xgt.errors import DeviceError, Refused
from edge_agent.drivers.xgt.harvest import Harvest
from edge_agent.drivers.xgt.link import XgtLink, open_link
from edge_agent.drivers.xgt.plan import Block, Kind, XgtPlan
from edge_agent.drivers.xgt.settings import XgtConnection
from edge_agent.drivers.xgt.split import Part, Trail
from edge_agent.drivers.xgt.write import XgtTarget, decode, encode
from edge_agent.wire.frame import JsonValue

# These concern the frame, not what it asks for: shorter requests would not help.
_FRAME_FAULTS: Final = range(0x75, 0x79)
_VENDOR: Final = "LS Electric"


class XgtDriver:
    """Implements contracts.driver.Driver, Identifying and Writing.

    monotonic: seconds, for asking refused tags again.
    """

    def __init__(self, settings: XgtConnection, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._monotonic = monotonic
        self._link: XgtLink | None = None
        self._probes_left = 0
        # For each plan, what was learnt about those of its blocks that were refused, by index.
        self._trails: WeakKeyDictionary[XgtPlan, dict[int, Trail]] = WeakKeyDictionary()
        # Of each block: made once.
        self._bodies: WeakKeyDictionary[XgtPlan, tuple[bytes, ...]] = WeakKeyDictionary()

    async def connect(self) -> None:
        await self.close()
        self._link = await open_link(self._settings)
        self._trails.clear()

    async def close(self) -> None:
        if self._link is not None:
            self._link.drop("closed")
            self._link = None

    async def read(self, plan: XgtPlan) -> Reading:
        harvest = Harvest(plan)
        trails = self._trails.setdefault(plan, {})
        bodies = self._bodies.get(plan)
        if bodies is None:
            bodies = self._bodies[plan] = tuple(block.body for block in plan.blocks)
        self._probes_left = PROBES_PER_READ
        try:
            for index in range(len(plan.blocks)):
                await self._read_block(harvest, index, bodies[index], trails)
        except Unanswered as error:
            harvest.stop(index, str(error))
        return harvest.reading()

    async def identify(self, unit_id: int | None) -> Identity | None:
        if unit_id is not None or not self._settings.identify:
            return None
        try:
            reply = await self._request(frames.read_status())
        except Unanswered:
            return None
        data = b""
        try:
            frames.check(frames.read_status(), reply.body)
            data = frames.status_in(reply.body, status.STATUS_BYTES)
        except (Refused, DeviceError):
            pass  # the header says most of it
        record = status.record(reply.plc_info, reply.series, data)
        return Identity(_VENDOR, status.product(record), status.version(record))

    async def write(self, target: XgtTarget, value: JsonValue) -> None:
        request = encode(target, value)
        link = self._link
        if link is not None and link.lost and link.peer_closed:
            link = await self._reopened(link)
        if link is None:
            raise NotConnected("not connected")
        reply = await link.request_once(request)
        try:
            frames.check(request, reply.body)
        except Refused as error:
            raise WriteRefused(str(error)) from error
        except DeviceError as error:
            raise WriteUnknown(str(error)) from error

    async def read_target(self, target: XgtTarget) -> JsonValue:
        try:
            return decode(target, await self._ask(target.block, target.block.body))
        except Unanswered as error:
            raise NotConnected(str(error)) from error
        except (Refused, DeviceError, UnicodeError) as error:
            raise Unsupported(str(error)) from error

    async def _read_block(self, harvest: Harvest, index: int, body: bytes, trails: dict[int, Trail]) -> None:
        block = harvest.plan.blocks[index]
        try:
            if block.kind is Kind.STATUS:
                await self._read_status(harvest, index, body)
                return
            if index not in trails:
                harvest.whole(index, await self._ask(block, body))
                return
        except Refused as refusal:
            if refusal.code in _FRAME_FAULTS:
                harvest.failed(block, str(refusal))
                return
            trails[index] = Trail.of(block, str(refusal), self._monotonic())
        except DeviceError as error:
            harvest.failed(block, str(error))
            return
        await self._read_parts(harvest, index, trails[index])
        if trails[index].healed:
            del trails[index]

    async def _read_status(self, harvest: Harvest, index: int, body: bytes) -> None:
        reply = await self._request(body)
        try:
            frames.check(body, reply.body)
            data = frames.status_in(reply.body, status.STATUS_BYTES)
        except (Refused, DeviceError) as error:
            harvest.header_only(index, status.record(reply.plc_info, reply.series, b""), str(error))
        else:
            harvest.whole(index, status.record(reply.plc_info, reply.series, data))

    async def _read_parts(self, harvest: Harvest, index: int, trail: Trail) -> None:
        harvest.split(index)
        now = self._monotonic()
        queue: deque[Part] = deque([*trail.parts, *trail.due(now)])
        while queue:
            part = queue.popleft()
            if not part.proven:
                self._probes_left -= 1
                if self._probes_left < 0:
                    continue
            try:
                harvest.part(index, part.block, await self._ask(part.block, part.block.body))
            except Refused as refusal:
                queue.extendleft(reversed(trail.refused(part, str(refusal), now)))
            except DeviceError as error:
                harvest.failed(part.block, str(error))
            else:
                trail.answered(part)
        for item, bad in trail.bad.items():
            harvest.bad_item(trail.root, item, bad.text)

    async def _ask(self, block: Block, body: bytes) -> bytes:
        """The data of one block. Raises Refused, DeviceError, Unanswered, NotConnected."""
        reply = (await self._request(body)).body
        frames.check(body, reply)
        if block.kind is Kind.CONTINUOUS:
            return frames.bytes_in(reply, block.count)
        return frames.values_in(reply, len(block.starts), block.count)

    async def _request(self, body: bytes) -> frames.Reply:
        link = self._link
        if link is None:
            raise NotConnected("not connected")
        try:
            return await link.request(body)
        except NotConnected:
            if not link.peer_closed:
                raise
        return await (await self._reopened(link)).request(body)

    async def _reopened(self, link: XgtLink) -> XgtLink:
        fresh = await open_link(self._settings)
        if self._link is not link:  # closed meanwhile
            fresh.drop("closed")
            raise NotConnected("closed")
        self._link = fresh
        return fresh
