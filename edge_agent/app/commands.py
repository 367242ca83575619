"""The centre's commands at this agent: builds their parts, runs them, and tells of them.

Imported in a thread once polling has begun, and only where there is a centre.
"""

from collections.abc import Callable
from typing import Final

from edge_agent.app.centre import PARENT
from edge_agent.app.device import AgentDevice
from edge_agent.buffer.recovery import Identity
from edge_agent.commands.desk import Desk
from edge_agent.commands.entry import Outcome
from edge_agent.commands.handlers import HANDLERS, REFUSALS
from edge_agent.commands.journal import NAME, Journal
from edge_agent.commands.registry import Registry
from edge_agent.config.models import CommandSettings
from edge_agent.contracts.status import CommandStatus
from edge_agent.runtime.crew import Crew
from edge_agent.runtime.supervise import Role
from edge_agent.uplink.commands import CommandPoll, CommandReports
from edge_agent.wire.command_types import TYPES
from edge_agent.wire.commands import CommandOffer
from edge_agent.wire.messages import Event

# What changes the device is in its history, as samples are: others only look.
_TOLD: Final = (
    "restart_agent", "reload_config", "sync_scripts", "restart_connection", "set_log_level", "write_tag",
)  # fmt: skip


class Commands:
    """All of it; `start` once the link to the centre is open."""

    def __init__(
        self,
        settings: CommandSettings,
        identity: Identity,
        device: AgentDevice,
        record: Callable[[Event], None],
    ) -> None:
        self._device = device
        self._record = record
        journal = Journal(device.database.with_name(NAME))
        registry = Registry(TYPES, HANDLERS, REFUSALS, settings.allow)
        self._desk = Desk(
            journal, registry, device, device.clock, identity.boot, settings.concurrency, self._ended
        )
        self._poll = CommandPoll(device.link.client, self._desk, device.clock, settings.poll)
        self._reports = CommandReports(device.link.client, self._desk, device.clock)

    def start(self, crew: Crew) -> None:
        self._device.link.on_commands = self._poll.hint
        crew.start("commands", self._desk.run)
        crew.start("command poll", self._poll.run, Role(PARENT))
        crew.start("command reports", self._reports.run, Role(PARENT))

    def status(self) -> list[CommandStatus]:
        """What waits or runs."""
        return self._desk.status()

    def _ended(self, offer: CommandOffer, outcome: Outcome) -> None:
        if offer.type not in _TOLD:
            return
        by = f", ordered by {offer.by}" if offer.by else ""
        text = f"{offer.type}: {outcome.state.value}{by}{f': {outcome.message}' if outcome.message else ''}"
        data = {"command_id": offer.id, "type": offer.type, "state": outcome.state.value, "by": offer.by}
        self._record(
            Event(time=self._device.clock.wall_ms(), code="command", message=text[:1_000], data=data)
        )
