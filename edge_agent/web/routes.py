"""What the local API offers: the table behind the server's router and the reference page."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Route:
    """name: the method of `_Api` that answers. public: served on the TCP listener too."""

    method: str
    path: str
    name: str
    summary: str
    public: bool = False


ROUTES: Final = (
    Route("GET", "/status", "status", "The whole status of the agent, as `edge-agent status --json`."),
    Route(
        "GET",
        "/latest",
        "latest",
        "The newest value of each tag: `{items: [{connection, group, tag, value, quality, time, unit}]}`. "
        "`?connection=NAME` asks for one connection; 404 where there is none of that name.",
    ),
    Route(
        "POST",
        "/reload",
        "reload",
        "Reads the config file again and applies what changed. 200: applied. 422: refused, and the config "
        "that ran before still runs. Both answer `{applied, added, removed, changed, unchanged, problems, "
        "warnings}`, with connections by name.",
    ),
    Route(
        "GET", "/metrics", "metrics", "Prometheus text; the metrics are listed in metrics.md.", public=True
    ),
    Route(
        "GET",
        "/healthz",
        "healthz",
        "200 `{alive: true}` while no part of the agent has given up, else 503: restarting may help. A PLC "
        "or a centre that does not answer does not make it 503.",
        public=True,
    ),
)
