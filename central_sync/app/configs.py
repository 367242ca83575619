"""Builds the room of configs: their versions, checks, jobs, templates and mappings."""

from collections.abc import Callable

from central_sync.checker import AgentChecker
from central_sync.services.access.sight import Sight
from central_sync.services.access.targets import TargetService
from central_sync.services.clock import Clock
from central_sync.services.configs.checking import CheckService
from central_sync.services.configs.jobs import ConfigJobService
from central_sync.services.configs.service import ConfigService
from central_sync.services.configs.templates import TemplateService
from central_sync.services.configs.v1_mappings import MappingService
from central_sync.settings import Settings
from central_sync.store.config_jobs import SqliteConfigJobs
from central_sync.store.configs import SqliteConfigs
from central_sync.store.sqlite import SqliteStore
from central_sync.store.targets import SqliteTargets
from central_sync.store.templates import SqliteTemplates
from central_sync.store.v1_mappings import SqliteMappings


class ConfigRoom:
    """`jobs.run` is for a task; `close` at the end. changed: gets each device and its new ETag, see
    SqliteConfigs."""

    def __init__(
        self,
        settings: Settings,
        store: SqliteStore,
        clock: Clock,
        changed: Callable[[str, str], None] | None = None,
    ) -> None:
        self._checker = AgentChecker(settings.agent_command)
        labels = SqliteTargets(store)
        targets, sight = TargetService(labels), Sight(labels)
        rows = SqliteConfigs(store, changed, settings.config_versions)
        checks = self._checks = CheckService(self._checker)
        self.configs = ConfigService(rows, clock, checks)
        self.jobs = ConfigJobService(SqliteConfigJobs(store, rows), rows, checks, targets, clock)
        self.templates = TemplateService(SqliteTemplates(store), self.configs, self.jobs, targets, clock)
        self.mappings = MappingService(SqliteMappings(store), store, sight, clock)

    async def close(self) -> None:
        await self._checks.close()
        await self._checker.close()
