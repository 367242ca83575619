"""Builds the room of scripts: their service, and the worker that tells devices of them."""

from central_sync.services.clock import Clock
from central_sync.services.database import Database
from central_sync.services.scripts.service import ScriptService
from central_sync.store.script_lists import SqliteScripts
from central_sync.workers.scripts import ScriptSpread


class ScriptRoom:
    """`spread.run` is for a task."""

    def __init__(self, database: Database, clock: Clock) -> None:
        store = SqliteScripts(database)
        self.scripts = ScriptService(store, clock)
        self.spread = ScriptSpread(store, clock)
