"""Commands as people see them: ordering, looking, cancelling (docs/specs/commands-v1.md).

Who may see a device may see its commands; all others do not exist. Devices' side: `command_desk`.
"""

import asyncio
import re
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from central_sync.services.access.roles import Identity
from central_sync.services.access.targets import TargetService
from central_sync.services.audit.entries import Actor
from central_sync.services.commands import moves
from central_sync.services.commands import types as command_types
from central_sync.services.commands.board import CommandBoard
from central_sync.services.commands.clock import CommandClock
from central_sync.services.commands.moves import Now
from central_sync.services.commands.store import (
    Artifact,
    ArtifactStore,
    CommandFilter,
    CommandStore,
    NewOrder,
)
from central_sync.services.commands.views import (
    CommandDetail,
    CommandPage,
    CommandTypes,
    LogView,
    OrderCancelled,
    OrderCreated,
    OrderRequest,
    OrderView,
)
from central_sync.services.database import Once
from central_sync.services.errors import Forbidden, NotFound
from central_sync.services.pages import decode_cursor

# Commands of one device that have not ended.
MAX_OPEN: Final = 100
# Commands in the answer to an order; the list has the rest.
FIRST: Final = 100
LOG_BYTES: Final = 64 << 10
_ID: Final = re.compile(r"(cmd|ord)-[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class Asker:
    """identity: what it may; author and actor: how history and audit trail call it."""

    identity: Identity
    author: str
    actor: Actor


def now(clock: CommandClock) -> Now:
    return Now(clock.now(), clock.wall_ms())


class CommandService:
    def __init__(
        self,
        store: CommandStore,
        artifacts: ArtifactStore,
        targets: TargetService,
        board: CommandBoard,
        clock: CommandClock,
        max_open: int = MAX_OPEN,
    ) -> None:
        self._store = store
        self._artifacts = artifacts
        self._targets = targets
        self._board = board
        self._clock = clock
        self._max_open = max_open

    async def start(self) -> None:
        """Before the first request: the command clock goes on, and the board is what the database says."""
        opened = await self._store.open()
        self._clock.resume(opened.clock)
        self._board.start(opened.waiting, opened.next_due)
        await self._store.save_clock(self._clock.reading())
        await self._artifacts.keep_only(opened.artifacts)

    def types(self) -> CommandTypes:
        return CommandTypes(items=command_types.views())

    async def order(self, asker: Asker, request: OrderRequest, key: Once | None) -> OrderCreated:
        """One command a device, all of them or none. Raises Invalid, Forbidden, NotFound, Conflict."""
        kind = command_types.find(request.type)
        if not asker.identity.has_role(kind.role):
            raise Forbidden("role", f"{kind.name} needs the role {kind.role}")
        params = command_types.check_params(kind, request.params)
        timeout = command_types.check_timeout(kind, request.timeout_seconds)
        devices = await self._targets.resolve(request.targets, asker.identity)
        order = NewOrder(
            id=f"ord-{secrets.token_hex(8)}",
            type=kind.name,
            params=params,
            targets=request.targets.model_dump(),
            commands=[(device, f"cmd-{secrets.token_hex(8)}") for device in devices],
            author=asker.author,
            note=request.note,
            expires_ms=int((request.expires_seconds or kind.expires_seconds) * 1_000),
            timeout_seconds=timeout,
            each=kind.dangerous,
            max_open=self._max_open,
        )
        return await self._store.create(order, key, asker.actor, now(self._clock), FIRST)

    async def get(self, identity: Identity, command: str) -> CommandDetail:
        found = await self._store.get(_command(command), identity.labels)
        if found is None:
            raise _unknown_command()
        return found

    async def page(self, wanted: CommandFilter, cursor: str | None) -> CommandPage:
        key = decode_cursor(cursor, int)
        return await self._store.page(replace(wanted, before=int(key[0]) if key else None))

    async def show_order(self, identity: Identity, order: str) -> OrderView:
        found = await self._store.order(_order(order), identity.labels)
        if found is None:
            raise _unknown_order()
        return found

    async def log(self, identity: Identity, command: str, offset: int, wait: float) -> LogView:
        """With `wait` it is answered once there is text behind `offset`, or will be none. Raises Busy."""
        command = _command(command)
        found = await self._log(identity, command, offset)
        if found.text or found.complete or not wait:
            return found
        time = asyncio.get_running_loop().time
        deadline = time() + wait
        with self._board.following(command) as holder:
            while not (found.text or found.complete or holder.over):
                holder.arm()
                found = await self._log(identity, command, offset)
                left = deadline - time()
                if found.text or found.complete or left <= 0:
                    break
                await holder.wait(left)
        return found

    async def _log(self, identity: Identity, command: str, offset: int) -> LogView:
        found = await self._store.log(command, identity.labels, offset, LOG_BYTES)
        if found is None:
            raise _unknown_command()
        return found

    async def artifact(self, identity: Identity, command: str) -> tuple[Artifact, AsyncIterator[bytes]]:
        """Raises NotFound."""
        found = await self._store.artifact_of(_command(command), None, identity.labels)
        if found is None:
            raise NotFound("no_artifact", "this command brought no file")
        blocks = self._artifacts.blocks(command, found.sha256)
        try:
            first = await anext(blocks, b"")
        except OSError as error:
            raise NotFound("no_artifact", "the centre's disk does not have this file") from error
        return found, _chained(first, blocks)

    async def cancel(self, asker: Asker, command: str) -> CommandDetail:
        """Raises NotFound; Conflict where it has ended otherwise."""
        at = now(self._clock)
        rule = partial(moves.cancel, author=asker.author, now=at)
        return await self._store.cancel(_command(command), asker.identity.labels, rule, asker.actor, at)

    async def cancel_order(self, asker: Asker, order: str) -> OrderCancelled:
        """All of its commands that are in sight, some at a time: asking again goes on."""
        order, limits = _order(order), asker.identity.labels
        cancelled = asked = ended = 0
        after: int | None = 0
        actor: Actor | None = asker.actor
        while after is not None:
            at = now(self._clock)
            rule = partial(moves.cancel, author=asker.author, now=at)
            counts = await self._store.cancel_some(order, limits, after, rule, actor, at)
            cancelled += counts.cancelled
            asked += counts.asked
            ended += counts.ended
            after, actor = counts.last, None
        shown = await self.show_order(asker.identity, order)
        return OrderCancelled(order=shown, cancelled=cancelled, asked=asked, ended=ended)

    async def forget(self, before: int, limit: int = 500) -> int:
        """Deletes some commands that ended before this time (UTC milliseconds), with their history, output
        and files; how many. Call it again until it says 0."""
        gone = await self._store.forget(before, limit)
        if gone:
            await self._artifacts.remove(gone)
        return len(gone)


async def _chained(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for block in rest:
        yield block


def _command(text: str) -> str:
    if not _ID.fullmatch(text):
        raise _unknown_command()
    return text


def _order(text: str) -> str:
    if not _ID.fullmatch(text):
        raise _unknown_order()
    return text


def _unknown_command() -> NotFound:
    return NotFound("unknown_command", "there is no such command")


def _unknown_order() -> NotFound:
    return NotFound("unknown_order", "there is no such order")
