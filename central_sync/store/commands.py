"""The store of commands, for services.commands: on the one writer and its readers."""

import sqlite3
from collections.abc import Callable, Sequence
from typing import TypeVar

from central_sync.services.audit.entries import Actor
from central_sync.services.commands.board import Changes
from central_sync.services.commands.moves import Now
from central_sync.services.commands.store import (
    Artifact,
    CancelCounts,
    CommandFilter,
    Limits,
    NewOrder,
    Note,
    OfferRow,
    Opened,
    Rule,
)
from central_sync.services.commands.views import (
    CommandDetail,
    CommandPage,
    LogView,
    OrderCreated,
    OrderView,
)
from central_sync.services.database import Database, Once
from central_sync.store import command_lists as lists
from central_sync.store import command_moves as moves
from central_sync.store import command_orders as orders
from central_sync.store.idempotency import answer_once

T = TypeVar("T")


class SqliteCommands:
    """note: told of each commit, in the writer's thread, in their order."""

    def __init__(self, database: Database, note: Note) -> None:
        self._database = database
        self._note = note

    async def _change(self, work: Callable[[sqlite3.Connection], tuple[T, Changes]]) -> T:
        answer, _ = await self._database.write(work, lambda done: self._note(done[1]))
        return answer

    async def open(self) -> Opened:
        return await self._database.read(moves.open_commands)

    async def save_clock(self, reading: tuple[int, int]) -> None:
        await self._database.write(lambda connection: moves.save_clock(connection, *reading))

    async def create(
        self, order: NewOrder, key: Once | None, actor: Actor, now: Now, first: int
    ) -> OrderCreated:
        def work(connection: sqlite3.Connection) -> tuple[OrderCreated, Changes]:
            found: list[Changes] = []

            def make() -> OrderCreated:
                found.append(orders.create(connection, order, actor, now))
                return _created(connection, order.id, first)

            answer = answer_once(connection, key, OrderCreated, now.wall, make)
            return answer, found[0] if found else Changes(())

        return await self._change(work)

    async def report(self, device: str, command: str, rule: Rule, now: Now) -> None:
        await self._change(lambda connection: (None, moves.report(connection, device, command, rule, now)))

    async def cancel(self, command: str, limits: Limits, rule: Rule, actor: Actor, now: Now) -> CommandDetail:
        def work(connection: sqlite3.Connection) -> tuple[CommandDetail, Changes]:
            changes = moves.cancel(connection, command, limits, rule, actor, now)
            found = lists.get(connection, command, limits)
            assert found is not None, "it was found in this transaction"
            return found, changes

        return await self._change(work)

    async def cancel_some(
        self, order: str, limits: Limits, after: int, rule: Rule, actor: Actor | None, now: Now
    ) -> CancelCounts:
        return await self._change(
            lambda connection: moves.cancel_some(connection, order, limits, after, rule, actor, now)
        )

    async def overdue(self, rule: Rule, now: Now) -> None:
        await self._change(lambda connection: (None, moves.overdue(connection, rule, now)))

    async def offers(self, device: str) -> tuple[list[OfferRow], list[str]]:
        return await self._database.quick(lambda connection: moves.offers(connection, device))

    async def mark_offered(self, device: str, commands: Sequence[str], rule: Rule, now: Now) -> set[str]:
        return await self._database.write(
            lambda connection: moves.mark_offered(connection, device, commands, rule, now)
        )

    async def get(self, command: str, limits: Limits) -> CommandDetail | None:
        return await self._database.read(lambda connection: lists.get(connection, command, limits))

    async def page(self, wanted: CommandFilter) -> CommandPage:
        return await self._database.read(lambda connection: lists.page(connection, wanted))

    async def order(self, order: str, limits: Limits) -> OrderView | None:
        return await self._database.read(lambda connection: lists.order_view(connection, order, limits))

    async def log(self, command: str, limits: Limits, offset: int, size: int) -> LogView | None:
        return await self._database.read(
            lambda connection: lists.log(connection, command, limits, offset, size)
        )

    async def artifact_of(self, command: str, device: str | None, limits: Limits) -> Artifact | None:
        return await self._database.read(
            lambda connection: lists.artifact_of(connection, command, device, limits)
        )

    async def add_artifact(
        self, device: str, command: str, artifact: Artifact, quota_bytes: int, now: Now
    ) -> tuple[bool, str | None]:
        return await self._change(
            lambda connection: moves.add_artifact(connection, device, command, artifact, quota_bytes, now)
        )

    async def forget(self, before: int, limit: int) -> list[str]:
        return await self._change(lambda connection: moves.forget(connection, before, limit))


def _created(connection: sqlite3.Connection, order: str, first: int) -> OrderCreated:
    found = lists.order_view(connection, order, {})
    assert found is not None, "it was made in this transaction"
    page = lists.page(connection, CommandFilter({}, order=order, limit=first))
    return OrderCreated(order=found, commands=page.items, next=page.next)
