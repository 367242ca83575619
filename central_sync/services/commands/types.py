"""The types of commands at the centre: what edge_agent.wire.command_types says of each, and who may send it.

A further type is a line in that table and a line here; a test compares the two.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from central_sync.services.access.roles import Role
from central_sync.services.commands.views import CommandTypeView
from central_sync.services.errors import Invalid
from edge_agent.wire.command_types import TYPES, CommandType, example


@dataclass(frozen=True, slots=True)
class OrderType:
    """role: the least that may send it. dangerous: it interrupts or changes the plant or the agent; each
    device of an order has an entry of its own in the audit trail."""

    wire: CommandType
    description: str
    role: Role = Role.OPERATOR
    dangerous: bool = False

    @property
    def name(self) -> str:
        return self.wire.name

    @property
    def expires_seconds(self) -> float:
        """Unless the order says otherwise."""
        return _EXPIRES_SECONDS.get(self.name, 3_600.0)


# A write that waits for a device to come back must not move a machine long after it was ordered.
_EXPIRES_SECONDS: Final = {"write_tag": 60.0}
_TEXTS: Final[dict[str, tuple[str, Role, bool]]] = {
    "ping": ("Answers with version, run and uptime.", Role.OPERATOR, False),
    "restart_agent": ("Stops the agent in order and lets the service manager start it.", Role.OPERATOR, True),
    "reload_config": ("Reads the config again, the local file and the centre's.", Role.OPERATOR, False),
    "sync_scripts": (
        "Takes the centre's scripts for the device now, and tells what runs.",
        Role.OPERATOR,
        False,
    ),
    "collect_logs": ("Brings the agent's newest log lines as a file.", Role.OPERATOR, False),
    "read_tags": ("Reads tags' newest values from the agent.", Role.OPERATOR, False),
    "write_tag": (
        "Writes one tag. The device refuses it unless its driver can write and its local allow-list permits "
        "the tag and the value.",
        Role.ENGINEER,
        True,
    ),
    "restart_connection": ("Builds one connection's link anew.", Role.OPERATOR, True),
    "run_diagnostics": ("Runs the doctor's checks.", Role.OPERATOR, False),
    "set_log_level": ("Changes the agent's log level for a while.", Role.OPERATOR, False),
    "flush_buffer": ("Commits what is buffered in memory, and sends it.", Role.OPERATOR, False),
    "support_bundle": ("Collects a support bundle, without secrets, as a file.", Role.OPERATOR, False),
}


def registry() -> Mapping[str, OrderType]:
    return {name: OrderType(TYPES[name], *texts) for name, texts in _TEXTS.items()}


REGISTRY: Final = registry()


def find(name: str) -> OrderType:
    """Raises Invalid with the names that there are."""
    found = REGISTRY.get(name)
    if found is None:
        raise Invalid("unknown_type", f"there is no command type {name[:64]!r}", types=list(REGISTRY))
    return found


def check_params(kind: OrderType, params: Mapping[str, Any]) -> dict[str, Any]:
    """With the defaults filled in. Raises Invalid (`bad_params`) with the place."""
    try:
        return kind.wire.params.model_validate(params).model_dump(mode="json")
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in ("params", *first["loc"]))
        raise Invalid("bad_params", f"{place}: {first['msg']}", place=place) from error


def check_timeout(kind: OrderType, seconds: float | None) -> float:
    """Raises Invalid above the type's maximum."""
    if seconds is None:
        return kind.wire.timeout_seconds
    if seconds > kind.wire.max_timeout_seconds:
        most = kind.wire.max_timeout_seconds
        raise Invalid("bad_timeout", f"timeout_seconds: {kind.name} may run for {most:.0f} s at most")
    return seconds


def views() -> list[CommandTypeView]:
    return [_view(kind) for kind in REGISTRY.values()]


def _view(kind: OrderType) -> CommandTypeView:
    wire = kind.wire
    return CommandTypeView(
        type=kind.name,
        description=kind.description,
        role=kind.role,
        dangerous=kind.dangerous,
        idempotent=wire.idempotent,
        artifact=wire.artifact,
        timeout_seconds=wire.timeout_seconds,
        max_timeout_seconds=wire.max_timeout_seconds,
        params_example=example(wire),
        params_schema=wire.params.model_json_schema(),
        result_schema=wire.result.model_json_schema(),
    )
