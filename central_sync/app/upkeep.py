"""What keeps the data in order without a request: retention, and daily checkpoints of the audit trail."""

from central_sync.services.clock import Clock
from central_sync.services.retention import Ages
from central_sync.settings import Settings
from central_sync.store.retention import SqliteRetention
from central_sync.store.sqlite import SqliteStore
from central_sync.store.statements import AuditKey, CheckpointFile
from central_sync.store.trail import SqliteTrail
from central_sync.workers.retention import OldCommands, Retention
from central_sync.workers.statements import DailyCheckpoints


class Upkeep:
    """For a store that was started."""

    def __init__(self, settings: Settings, store: SqliteStore, commands: OldCommands, clock: Clock) -> None:
        kept = settings.retention
        ages = Ages(kept.samples, kept.events, kept.heartbeats, kept.commands, kept.audit)
        room = SqliteRetention(store, lambda: AuditKey(settings.data))
        self.retention = Retention(room, commands, ages, lambda: store.load, clock)
        file = CheckpointFile(settings.data, store.centre)
        self.checkpoints = DailyCheckpoints(SqliteTrail(store), file, clock)
