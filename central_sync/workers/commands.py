"""Deadlines of commands: what is not fetched in time expires, what is not heard of becomes unknown."""

from typing import Final

from central_sync.services.clock import Clock
from central_sync.services.commands import moves
from central_sync.services.commands.board import CommandBoard
from central_sync.services.commands.clock import SAVE_SECONDS, CommandClock
from central_sync.services.commands.service import now
from central_sync.services.commands.store import CommandStore
from central_sync.services.errors import Busy

LOOK_SECONDS: Final = 1.0
# Transactions of one look; what is left waits for the next.
MAX_ROUNDS: Final = 20


class CommandWatch:
    """Nothing is asked of the database while no deadline has passed."""

    def __init__(
        self, store: CommandStore, board: CommandBoard, commands: CommandClock, clock: Clock
    ) -> None:
        self._store = store
        self._board = board
        self._commands = commands
        self._clock = clock
        self._saved = clock.monotonic()

    async def run(self) -> None:
        while True:
            await self._clock.sleep(LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        try:
            await self._save()
            for _ in range(MAX_ROUNDS):
                if self._board.next_due is None or self._board.next_due > self._commands.now():
                    break
                await self._store.overdue(moves.overdue, now(self._commands))
        except Busy:
            return

    async def _save(self) -> None:
        """The clock, while there is a deadline to count."""
        if self._board.next_due is None or self._clock.monotonic() < self._saved + SAVE_SECONDS:
            return
        await self._store.save_clock(self._commands.reading())
        self._saved = self._clock.monotonic()
