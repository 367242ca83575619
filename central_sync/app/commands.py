"""Builds the centre's room of commands and connects it: store, board, both services, and their worker."""

from pathlib import Path

from central_sync.services.access.targets import TargetService
from central_sync.services.clock import Clock
from central_sync.services.commands.board import CommandBoard
from central_sync.services.commands.clock import CommandClock
from central_sync.services.commands.desk import CommandDesk
from central_sync.services.commands.service import CommandService
from central_sync.services.database import Database
from central_sync.services.live import Hub
from central_sync.store.artifacts import ArtifactFiles
from central_sync.store.commands import SqliteCommands
from central_sync.store.targets import SqliteTargets
from central_sync.workers.commands import CommandWatch

ARTIFACTS = "artifacts"


class CommandRoom:
    """`start` before the first request, `close` when requests are to end."""

    def __init__(self, database: Database, hub: Hub, clock: Clock, data: Path) -> None:
        commands = CommandClock(clock)
        self.board = CommandBoard(hub)
        store = SqliteCommands(database, self.board.note)
        artifacts = ArtifactFiles(data / ARTIFACTS)
        targets = TargetService(SqliteTargets(database))
        self.service = CommandService(store, artifacts, targets, self.board, commands)
        self.desk = CommandDesk(store, artifacts, self.board, commands)
        self.watch = CommandWatch(store, self.board, commands, clock)

    async def start(self) -> None:
        await self.service.start()

    def close(self) -> None:
        self.board.close()
