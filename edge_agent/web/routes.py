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
        "POST",
        "/write",
        "write",
        "Writes one tag that `writes.allow` of the config file permits: `{tag, value}`, the value in "
        "engineering units. 200 with `{id, tag, state, code, message, value, raw, before, after}` however it "
        "ended; `state`: confirmed, unconfirmed, differs, refused or unknown. Journalled with the user at "
        "the other end of the socket.",
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

PAGE_ROUTES: Final = (
    Route(
        "GET",
        "/api/overview",
        "overview",
        "`{now, state, findings: [{severity, subject, text, since, code, facts}], status}`; `status` is the "
        "whole status, as `edge-agent status --json`.",
    ),
    Route(
        "GET",
        "/api/values",
        "values",
        "Newest values: `{total, items: [{connection, group, tag, value, quality, time, unit}]}`. "
        "`?connection=` asks for one connection, `?q=` for names that hold a text, `?offset=` and "
        "`?limit=` (up to 500) for a page.",
    ),
    Route(
        "GET",
        "/api/trend",
        "trend",
        "Stored samples of `?connection=&group=&tag=` from `start` to `end` (UTC milliseconds) in buckets of "
        "`bucket_ms`: `{start, bucket_ms, unit, points, head, tail, begins, ends, batches, next}`. A point "
        "is `[bucket, first, low, high, last, good, bad, joined]`. Newest first and bounded: while `next` is "
        "not null, ask again with `before=next`.",
    ),
    Route(
        "GET",
        "/api/config",
        "config",
        "The config in force as text, every secret masked: `{report, path, text}`. Of a group the first 20 "
        "tags.",
    ),
    Route("GET", "/api/config.yaml", "download", "The same with all tags, as a file."),
    Route(
        "GET",
        "/api/log",
        "log",
        "The newest lines of the log: `{lines, next}`. `?level=` debug, info, warning or error; `?after=` "
        "the `next` of an earlier answer; `?limit=` up to 500.",
    ),
)
