"""Builds the room of configs: their versions, checks, jobs, templates and mappings."""

from collections.abc import Callable

from central_sync.checker import AgentChecker
from central_sync.services.checking import CheckService
from central_sync.services.clock import Clock
from central_sync.services.configs import ConfigService
from central_sync.settings import Settings
from central_sync.store.configs import SqliteConfigs
from central_sync.store.sqlite import SqliteStore


class ConfigRoom:
    """`close` at the end. changed: gets each device and its new ETag, see SqliteConfigs."""

    def __init__(
        self,
        settings: Settings,
        store: SqliteStore,
        clock: Clock,
        changed: Callable[[str, str], None] | None = None,
    ) -> None:
        self._checker = AgentChecker(settings.agent_command)
        self.checks = CheckService(self._checker)
        rows = SqliteConfigs(store, changed, settings.config_versions)
        self.configs = ConfigService(rows, clock, self.checks)

    async def close(self) -> None:
        await self._checker.close()
