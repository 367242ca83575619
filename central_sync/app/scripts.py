"""Builds the room of scripts: their service, dry runs, and the worker that tells devices of them."""

from central_sync.dry_runner import AgentTester
from central_sync.services.access.sight import Sight
from central_sync.services.clock import Clock
from central_sync.services.scripts.dry_run import DryRunService
from central_sync.services.scripts.service import ScriptService
from central_sync.settings import Settings
from central_sync.store.script_lists import SqliteScripts
from central_sync.store.sqlite import SqliteStore
from central_sync.store.targets import SqliteTargets
from central_sync.workers.scripts import ScriptSpread


class ScriptRoom:
    """`spread.run` is for a task."""

    def __init__(self, settings: Settings, store: SqliteStore, clock: Clock) -> None:
        rows = SqliteScripts(store)
        tester = AgentTester(settings.agent_command)
        self.dry_runs = DryRunService(tester, rows, store, Sight(SqliteTargets(store)))
        self.scripts = ScriptService(rows, clock, self.dry_runs)
        self.spread = ScriptSpread(rows, clock)
