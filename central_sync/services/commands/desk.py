"""The desk where devices fetch their commands, and report (docs/specs/commands-v1.md).

A device that waits costs one future and no thread; the database is asked only where the board says that
there is something. An offer is on the disk as offered before it is answered.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from central_sync.services.commands import moves
from central_sync.services.commands.board import CommandBoard
from central_sync.services.commands.clock import CommandClock
from central_sync.services.commands.service import now
from central_sync.services.commands.store import Artifact, ArtifactStore, CommandStore, OfferRow
from central_sync.services.commands.views import ArtifactStored
from central_sync.services.errors import Busy, Invalid, Refusal
from edge_agent.wire.commands import (
    MAX_RESULT_BYTES,
    CommandOffer,
    CommandOffers,
    CommandReport,
    CommandState,
)

# Files of all commands together.
QUOTA_BYTES: Final = 2 << 30
# What devices may have under way at the writer together: when thousands wake for one order, uploads still
# find room in its queue.
MAX_WRITES: Final = 128
# Files that are taken at once.
MAX_RECEIVED: Final = 8
# Of one device: the one whose connection is dead, and the next try.
MAX_RECEIVED_EACH: Final = 2
_NOTHING: Final = CommandOffers()


@dataclass(slots=True)
class CommandDesk:
    store: CommandStore
    artifacts: ArtifactStore
    board: CommandBoard
    clock: CommandClock
    quota_bytes: int = QUOTA_BYTES
    _receiving: Counter[str] = field(default_factory=Counter)
    _writes: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_WRITES))

    async def offers(self, device: str, wait: float) -> CommandOffers:
        """What the device is to run and to stop; with `wait` as soon as there is something. Raises Busy."""
        time = asyncio.get_running_loop().time
        if wait <= 0:
            found = await self._compose(device)
            self.board.say(device, _names(found), time())
            return found
        deadline = time() + wait
        with self.board.polling(device) as holder:
            while True:
                holder.arm()
                found = await self._compose(device)
                what = _names(found)
                pause = self.board.pause(device, what, time())
                left = deadline - time()
                if holder.over:
                    return _NOTHING
                if pause == 0 or left <= 0:
                    self.board.say(device, what, time())
                    return found
                await holder.wait(left if pause is None else min(left, pause))

    async def _compose(self, device: str) -> CommandOffers:
        if not self.board.waiting(device):
            return _NOTHING
        async with self._writes:
            rows, cancels = await self.store.offers(device)
            new = [row.id for row in rows if not row.offered]
            good = {row.id for row in rows if row.offered}
            if new:
                good |= await self.store.mark_offered(device, new, moves.offer, now(self.clock))
        at_ms = self.clock.now()
        offers = [_offer(row, at_ms) for row in rows if row.id in good and row.start_by > at_ms]
        return CommandOffers(commands=offers, cancel=cancels)

    async def report(self, device: str, command: str, said: CommandReport) -> None:
        """After the commit. Raises Invalid, NotFound, Busy."""
        if said.state is CommandState.QUEUED:
            raise Invalid("bad_report", "state: a device reports delivered or what follows, not queued")
        result = None
        if said.result is not None:
            result = _json(said)
            if len(result) > MAX_RESULT_BYTES:
                raise Invalid("bad_report", f"result: may hold {MAX_RESULT_BYTES} bytes of JSON")
        async with self._writes:
            at = now(self.clock)
            rule = partial(moves.report, said=said, result=result, now=at)
            await self.store.report(device, command, rule, at)

    async def receive(
        self, device: str, command: str, name: str, blocks: AsyncIterator[bytes]
    ) -> tuple[ArtifactStored, bool]:
        """The file, and whether it is new. Raises NotFound, Conflict, TooLarge, Busy."""
        before = await self.store.artifact_of(command, device, {})
        if self._receiving.total() >= MAX_RECEIVED or self._receiving[device] >= MAX_RECEIVED_EACH:
            raise Busy("busy", "the centre takes other files now", 5.0)
        self._receiving[device] += 1
        try:
            size, sha256 = await self.artifacts.receive(command, blocks)
        except OSError as error:
            raise Busy("storage", "the centre's disk refused the file", 30.0) from error
        finally:
            self._receiving -= Counter((device,))
        held = None if before is None else before.sha256
        try:
            artifact = Artifact(name, size, sha256)
            at = now(self.clock)
            new, replaced = await self.store.add_artifact(device, command, artifact, self.quota_bytes, at)
            if replaced is not None:
                await self.artifacts.drop(command, replaced)
        except Refusal:
            if sha256 != held:
                await self.artifacts.drop(command, sha256)
            raise
        return ArtifactStored(size_bytes=size, sha256=sha256), new


def _offer(row: OfferRow, at_ms: int) -> CommandOffer:
    return CommandOffer(
        id=row.id,
        type=row.type,
        params=row.params,
        created=row.created,
        start_seconds=(row.start_by - at_ms) / 1_000,
        timeout_seconds=row.timeout_seconds,
        by=row.author,
    )


def _names(found: CommandOffers) -> frozenset[str]:
    return frozenset((*(offer.id for offer in found.commands), *(f"-{name}" for name in found.cancel)))


def _json(said: CommandReport) -> bytes:
    try:
        return json.dumps(said.result, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        raise Invalid("bad_report", f"result: {error}") from error
