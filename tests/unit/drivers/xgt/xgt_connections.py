"""Connections for tests, from little text."""

from typing import Any

from edge_agent.drivers.xgt.plan import XgtPlan, plan
from edge_agent.drivers.xgt.settings import XgtConnection


def connection(*tags: dict[str, Any] | str, **settings: Any) -> XgtConnection:
    """A tag that is a text is the address of one that is named by it; without tags there is one of D0."""
    named = [{"name": tag, "address": tag} if isinstance(tag, str) else tag for tag in tags or ["D0"]]
    return XgtConnection.model_validate(
        {
            "name": "press1",
            "transport": {"host": "192.0.2.10"},
            "groups": [{"name": "fast", "interval": "1s", "tags": named}],
            **settings,
        }
    )


def planned(*tags: dict[str, Any] | str, **settings: Any) -> XgtPlan:
    made = connection(*tags, **settings)
    return plan(made, made.groups[0])


def requests(*tags: dict[str, Any] | str, **settings: Any) -> list[str]:
    return [request.text for request in planned(*tags, **settings).requests]
