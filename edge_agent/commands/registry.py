"""Which commands run here: the table of types with their handlers, and what of an offer is refused. Pure.

A type is a line of `wire.command_types.TYPES` and a handler of `handlers.HANDLERS`.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from edge_agent.commands.context import Context, Device
from edge_agent.commands.errors import Refused
from edge_agent.wire.command_types import CommandType, Params
from edge_agent.wire.commands import CommandOffer
from edge_agent.wire.messages import Message

Handler = Callable[[Context, Any], Awaitable[Message]]
# Raises Refused for what this device will not do: asked before the command is accepted.
Check = Callable[[Device, Any], None]


@dataclass(frozen=True, slots=True)
class Order:
    """A command that may run."""

    kind: CommandType
    params: Params
    handler: Handler
    check: Check | None = None

    def judge(self, device: Device) -> None:
        """Raises Refused."""
        if self.check is not None:
            self.check(device, self.params)

    def seconds(self, offer: CommandOffer) -> float:
        """How long it may run."""
        return min(offer.timeout_seconds, self.kind.max_timeout_seconds)


class Registry:
    """allow: the types that the local file permits; None: all."""

    def __init__(
        self,
        types: Mapping[str, CommandType],
        handlers: Mapping[str, Handler],
        checks: Mapping[str, Check],
        allow: Collection[str] | None = None,
    ) -> None:
        self._types = types
        self._handlers = handlers
        self._checks = checks
        self._allow = allow

    def kind(self, name: str) -> CommandType | None:
        return self._types.get(name)

    def order(self, offer: CommandOffer) -> Order:
        """Raises Refused."""
        kind, handler = self._types.get(offer.type), self._handlers.get(offer.type)
        if kind is None or handler is None:
            raise Refused("unknown_type", f"this version of the agent knows no command {offer.type}")
        if self._allow is not None and offer.type not in self._allow:
            raise Refused("not_permitted", f"commands.allow of this device does not have {offer.type}")
        try:
            params = kind.params.model_validate(offer.params)
        except ValidationError as error:
            raise Refused("bad_params", _first(error)) from error
        return Order(kind, params, handler, self._checks.get(offer.type))


def _first(error: ValidationError) -> str:
    """The first of what is wrong, without the value."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(map(str, first["loc"]))
    return f"{place}: {first['msg']}" if place else str(first["msg"])
