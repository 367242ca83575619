"""Walks the routes of the fleet system that Holdfast follows, on a running service, and writes what it saw.

`python -m tests.integration.fleet_routes > docs/fleet-routes.md` starts centre, agent and PLCs, asks every
route of provisioning, devices, commands, hooks, tag templates, v1 mappings, PLC status, audit, metrics and
data in its good cases and its refusals, and prints the table. The walk fails where an answer is another than
expected, or is not one that the OpenAPI document names; a test compares the page with a new walk.
"""

import asyncio
import hashlib
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
import orjson

from central_sync.api.openapi import errors_of
from central_sync.api.route import Route
from central_sync.api.server import ROUTES
from tests.crash.rig import DEVICE, until
from tests.integration.fleet_house import CONNECTION, TAG, FleetHouse, fleet_house

JSON: Final = "application/json"
SECTIONS: Final[dict[str, Any]] = {"connections": []}


@dataclass
class Row:
    """One route: how the other system names it, and the cases that were seen."""

    area: str
    original: str
    route: Route[Any]
    cases: list[str] = field(default_factory=list)
    seen: set[int] = field(default_factory=set)

    @property
    def documented(self) -> set[int]:
        return {*self.route.answers, *errors_of(self.route)}


@dataclass
class Reply:
    status: int
    headers: Any
    body: Any


class Walk:
    """Asks and notes. `area` and `original` hold until they are set again."""

    def __init__(self, house: FleetHouse, session: aiohttp.ClientSession) -> None:
        self._house = house
        self._session = session
        self._routes = {(route.method, route.path): route for route in ROUTES}
        self.rows: dict[tuple[str, str], Row] = {}
        self.area = ""

    async def ask(
        self,
        method: str,
        path: str,
        expected: int,
        case: str,
        *,
        original: str | None = None,
        who: str | None = "admin",
        json: Any = None,
        headers: dict[str, str] | None = None,
        query: str = "",
        **names: str,
    ) -> Reply:
        """`names` fill the path. original: the route's name in the other system, where it differs."""
        sent = dict(headers or {})
        if who is not None:
            sent["Authorization"] = f"Bearer {self._house.tokens[who]}"
        url = self._house.url + path.format_map({"id": DEVICE, **names}) + query
        async with self._session.request(
            method, url, data=None if json is None else orjson.dumps(json),
            headers={**sent, **({} if json is None else {"Content-Type": JSON})},
        ) as answer:  # fmt: skip
            body = await answer.read()
            kind = answer.content_type
        reply = Reply(
            answer.status, answer.headers, orjson.loads(body) if kind.endswith("json") and body else body
        )
        self._note(method, path, original, reply, expected, case)
        return reply

    def _note(
        self, method: str, path: str, original: str | None, reply: Reply, expected: int, case: str
    ) -> None:
        route = self._routes[(method, path)]
        row = self.rows.setdefault((method, path), Row(self.area, original or "the same", route))
        assert reply.status == expected, f"{method} {path}, {case}: {reply.status} {reply.body!r}"
        assert reply.status in row.documented, f"{method} {path}: {reply.status} is not documented"
        code = f" `{reply.body['code']}`" if reply.status >= 400 and isinstance(reply.body, dict) else ""
        row.cases.append(f"{reply.status}{code} {case}")
        row.seen.add(reply.status)


# --- areas ----------------------------------------------------------------------------------------------


async def provisioning(walk: Walk) -> None:
    pre = "/api/fleet/provision/pre-register"
    await walk.ask("POST", pre, 403, "as operator", who="operator", json={"device_id": "press-9"})
    made = await walk.ask("POST", pre, 201, "with a token shown once", json={"device_id": "press-9"})
    await walk.ask("GET", "/api/fleet/provision/pre-registered", 200, "its page")
    key = hashlib.sha256(b"one").hexdigest()
    asked = {"device_id": "press-9", "token": made.body["token"], "key": key, "machine": "a" * 32}
    provision = "/api/fleet/provision"
    await walk.ask("POST", provision, 200, "with the token", who=None, json=asked)
    await walk.ask("POST", provision, 200, "once more, the answer was lost", who=None, json=asked)
    other = {**asked, "key": hashlib.sha256(b"two").hexdigest(), "machine": "b" * 32}
    await walk.ask("POST", provision, 409, "the token on another machine", who=None, json=other)
    await walk.ask(
        "POST", provision, 404, "a token that nobody made", who=None,
        json={**other, "device_id": "press-8", "token": f"{made.body['token'][:-4]}AAAA"},
    )  # fmt: skip
    stranger = {"device_id": "press-7", "key": hashlib.sha256(b"three").hexdigest(), "machine": "c" * 32}
    await walk.ask("POST", provision, 202, "without a token: waits for an operator", who=None, json=stranger)
    listed = await walk.ask("GET", "/api/fleet/provision/pending", 200, "its page", original="(new)")
    request = str(listed.body["items"][0]["id"])
    await walk.ask(
        "POST", "/api/fleet/provision/{request}/accept", 200, "accepted", original="(new)",
        json={"device_id": "press-7"}, request=request,
    )  # fmt: skip
    await walk.ask("POST", provision, 200, "after it was accepted", who=None, json=stranger)


async def configs(walk: Walk) -> None:
    for path, original in (
        ("/api/fleet/edge/{id}/config", None),
        ("/api/fleet/v1/edges/{id}/config", None),
    ):
        await walk.ask("GET", path, 404, "nothing is wanted yet", who="device", original=original)
    put = await walk.ask(
        "PUT", "/api/fleet/edge/{id}/config", 201, "a version", original="(new)", json=SECTIONS
    )
    await walk.ask(
        "PUT", "/api/fleet/edge/{id}/config", 412, "read before somebody else wrote", original="(new)",
        json=SECTIONS, headers={"If-Match": '"old"'},
    )  # fmt: skip
    await walk.ask(
        "PUT", "/api/fleet/edge/{id}/config", 400, "refused by the agent's own check", original="(new)",
        json={"connections": [{"name": "x", "driver": "modbuss"}]},
    )  # fmt: skip
    for path in ("/api/fleet/edge/{id}/config", "/api/fleet/v1/edges/{id}/config"):
        etag = put.headers["ETag"]
        found = await walk.ask("GET", path, 200, "with its ETag", who="device")
        assert found.headers["ETag"] == etag
        await walk.ask("GET", path, 304, "known by ETag", who="device", headers={"If-None-Match": etag})
        await walk.ask("GET", path, 401, "without a token", who=None)


async def devices(walk: Walk) -> None:
    base = "/api/fleet/devices"
    await walk.ask("GET", base, 200, "a page")
    await walk.ask("GET", base, 200, "by state", query="?state=online&limit=1")
    await walk.ask("GET", base, 400, "a parameter that it does not know", query="?colour=red")
    new = {"device_id": "press-6", "name": "Press 6", "labels": {"site": "north"}}
    await walk.ask("POST", f"{base}/register", 201, "registered", json=new)
    await walk.ask("POST", f"{base}/register", 409, "it is there", json=new)
    await walk.ask("GET", f"{base}/{{id}}", 200, "with connections and epochs")
    await walk.ask("GET", f"{base}/{{id}}", 404, "unknown", id="nobody")
    await walk.ask("PATCH", f"{base}/{{id}}", 200, "labels", json={"labels": {"line": "a"}}, id="press-6")
    await walk.ask(
        "PATCH", f"{base}/{{id}}", 403, "as viewer", json={"name": "x"}, who="viewer", id="press-6"
    )
    await walk.ask("DELETE", f"{base}/{{id}}", 200, "decommissioned, its history stays", id="press-6")
    await walk.ask("GET", f"{base}/{{id}}/metrics", 200, "over time")
    await walk.ask("GET", f"{base}/{{id}}/latest-values", 200, "newest samples")
    series = f"{base}/{{id}}/tags/{{tag}}/timeseries"
    await walk.ask("GET", series, 200, "points", query=f"?connection={CONNECTION}", tag=TAG)
    await walk.ask("GET", series, 400, "two connections have the tag", tag=TAG)
    await walk.ask("GET", series, 404, "no such tag", tag="nothing")
    await walk.ask("GET", "/api/fleet/data/stats", 200, "the account of each device")
    await walk.ask("GET", "/api/fleet/stats", 200, "the fleet's figures")


async def commands(walk: Walk) -> None:
    base = "/api/fleet/commands"
    await walk.ask("GET", f"{base}/types", 200, "the registry")
    order = {"type": "ping", "targets": {"devices": [DEVICE]}}
    made = await walk.ask("POST", base, 201, "one command a device", json=order)
    await walk.ask("POST", base, 400, "no such type", json={**order, "type": "explode"})
    await walk.ask("POST", base, 403, "as viewer", json=order, who="viewer")
    command = made.body["commands"][0]["id"]

    async def has_ended() -> bool:
        found = await walk.ask(
            "GET",
            f"{base}/{{command}}",
            200,
            "its steps and result",
            original="(one is missing)",
            command=command,
        )
        return bool(found.body["state"] == "succeeded")

    await until(has_ended, 30)
    await walk.ask("GET", f"{base}/{{command}}", 404, "unknown", command="nobody")
    await walk.ask("GET", base, 200, "a page", query="?state=succeeded")
    await walk.ask("GET", f"{base}/{{command}}/log", 200, "its output", original="(new)", command=command)
    await walk.ask(
        "POST", f"{base}/{{command}}/cancel", 409, "it has ended", original="(new)", command=command
    )


async def scripts(walk: Walk) -> None:
    base, one = "/api/fleet/scripts", "/api/fleet/scripts/{script}"
    source = f'OUTPUTS = {{"{TAG}_f": "float32"}}\n\n\ndef transform(frame):\n    frame["{TAG}_f"] = 1.5\n'
    body = {"name": "oil", "hook_type": "transform", "source": source}
    await walk.ask("GET", f"{base}/hook-types", 200, "the six, with an example each")
    made = await walk.ask("POST", base, 201, "made", json=body)
    script, etag = str(made.body["id"]), made.headers["ETag"]
    await walk.ask("POST", base, 409, "the name is taken", json=body)
    await walk.ask(
        "POST", base, 400, "it does not compile", json={**body, "name": "bad", "source": "def transform("}
    )
    await walk.ask("POST", base, 403, "as operator", json=body, who="operator")
    await walk.ask("GET", base, 200, "a page", query="?hook_type=transform")
    await walk.ask("GET", one, 200, "with its source", script=script)
    await walk.ask("GET", one, 404, "unknown", script="nobody")
    served = "/api/fleet/edge/{id}/scripts"
    await walk.ask("GET", served, 404, "it never had any", original="(new)", who="device")
    await walk.ask(
        "PUT", f"{one}/assignment", 200, "to a device", original="(new)", script=script,
        json={"devices": [DEVICE]}, headers={"If-Match": etag},
    )  # fmt: skip
    await walk.ask(
        "PUT", f"{one}/assignment", 200, "who would get it", original="(new)", script=script,
        json={"selector": "*"}, query="?dry_run=true",
    )  # fmt: skip
    await walk.ask(
        "PUT", f"{one}/assignment", 412, "read before somebody else wrote", original="(new)", script=script,
        json={"devices": []}, headers={"If-Match": etag},
    )  # fmt: skip
    found = await walk.ask("GET", served, 200, "with its ETag", original="(new)", who="device")
    known = {"If-None-Match": found.headers["ETag"]}
    await walk.ask("GET", served, 304, "known by ETag", original="(new)", who="device", headers=known)
    more = {**body, "source": source + "# changed\n"}
    await walk.ask("PUT", one, 201, "a version", json=more, script=script)
    await walk.ask("PUT", one, 200, "the same again", json=more, script=script)
    await walk.ask(
        "PATCH", one, 200, "switched off", original="(new)", json={"enabled": False}, script=script
    )
    await walk.ask("GET", f"{one}/versions", 200, "newest first", script=script)
    await walk.ask("GET", f"{one}/versions/{{version}}", 200, "one", script=script, version="1")
    await walk.ask("GET", f"{one}/versions/{{version}}", 404, "unknown", script=script, version="9")
    await walk.ask(
        "PUT", f"{one}/versions/{{version}}/signatures", 200, "made elsewhere", original="(new)",
        json={"signatures": [{"key": "plant", "signature": "c2ln"}]}, script=script, version="1",
    )  # fmt: skip
    await walk.ask("GET", f"{one}/diff", 200, "by lines", original="(new)", script=script)
    rollback = f"{one}/rollback/{{version}}"
    await walk.ask("POST", rollback, 201, "a higher version", script=script, version="1")
    await walk.ask("POST", rollback, 404, "no such version", script=script, version="9")
    await walk.ask(
        "POST", f"{base}/dry-run", 200, "on what a device sent last",
        json={"saved": {"script": script}, "data": {"device": DEVICE, "last": 3}},
    )  # fmt: skip
    await walk.ask("POST", f"{base}/dry-run", 400, "no script", json={})
    await walk.ask("GET", f"{one}/devices", 200, "who has it", original="(new)", script=script)
    await walk.ask("GET", "/api/fleet/devices/{id}/scripts", 200, "desired and reported", original="(new)")
    await walk.ask("DELETE", one, 204, "deleted; its versions stay", script=script)
    await walk.ask("DELETE", one, 404, "it was deleted", script=script)


async def templates(walk: Walk) -> None:
    base = "/api/fleet/tag-templates"
    tags = [{"name": "extra{n}", "address": "holding:{base}", "type": "uint16"}]
    body = {
        "name": "Press, oil", "company": "acme", "equipment_type": "press", "protocol": "modbus",
        "parameters": {"n": {"type": "integer"}, "base": {"type": "integer", "default": 0}},
        "groups": [{"name": "extra", "interval": "1s", "tags": tags}],
    }  # fmt: skip
    made = await walk.ask("POST", base, 201, "made", json=body)
    template = str(made.body["id"])
    await walk.ask("POST", base, 400, "without groups", json={"name": "x"})
    await walk.ask("GET", base, 200, "a page")
    one = f"{base}/{{template}}"
    await walk.ask("GET", one, 200, "one", template=template)
    await walk.ask("GET", one, 404, "unknown", template="nobody")
    await walk.ask("PUT", one, 200, "changed", json={**body, "equipment_type": "mill"}, template=template)
    connection = {
        "name": "plc", "driver": "modbus", "transport": {"type": "tcp", "host": "192.0.2.10"},
        "groups": [{"name": "g", "interval": "1s", "tags": [{"name": "a", "address": "holding:1"}]}],
    }  # fmt: skip
    await walk.ask(
        "PUT", "/api/fleet/edge/{id}/config", 201, "with a connection", json={"connections": [connection]}
    )
    apply = f"{one}/apply/{{connection}}"
    await walk.ask(
        "POST",
        apply,
        201,
        "a new version of the config",
        json={"parameters": {"n": 3}},
        template=template,
        connection=f"{DEVICE}:plc",
    )
    await walk.ask(
        "POST",
        apply,
        400,
        "a parameter is missing",
        json={"parameters": {}},
        template=template,
        connection=f"{DEVICE}:plc",
    )
    await walk.ask(
        "POST",
        apply,
        404,
        "no such connection",
        json={"parameters": {"n": 3}},
        template=template,
        connection=f"{DEVICE}:none",
    )
    await walk.ask("DELETE", one, 204, "gone", template=template)


async def mappings(walk: Walk) -> None:
    base = "/api/fleet/v1-mappings"
    body = {"v1_name": "PLC1.D100", "device": DEVICE, "connection": CONNECTION, "tag": TAG}
    made = await walk.ask("POST", base, 201, "made", json=body)
    await walk.ask("POST", base, 409, "the name is taken", json=body)
    found = await walk.ask("GET", base, 200, "with the newest values", query="?resolve=true")
    assert found.body["items"][0]["v1_name"] == "PLC1.D100"
    one = f"{base}/{{mapping}}"
    mapping = str(made.body["id"])
    await walk.ask("PUT", one, 200, "changed", json={**body, "tag": "t1"}, mapping=mapping)
    await walk.ask("DELETE", one, 204, "gone", mapping=mapping)
    await walk.ask("DELETE", one, 404, "it was gone", mapping=mapping)


async def the_rest(walk: Walk) -> None:
    walk.area = "PLC status"
    await walk.ask("GET", "/api/fleet/plc-status", 200, "a row a unit")
    await walk.ask("GET", "/api/fleet/plc-status", 400, "a page of nothing", query="?limit=0")
    await walk.ask("GET", "/api/fleet/plc-status/summary", 200, "counts")
    walk.area = "Audit"
    await walk.ask("GET", "/api/fleet/audit-logs", 200, "newest first")
    await walk.ask("GET", "/api/fleet/audit-logs", 403, "as engineer", who="engineer")
    await walk.ask("GET", "/api/fleet/audit-logs/stats", 200, "counts")
    walk.area = "Metrics"
    await walk.ask("GET", "/api/fleet/prometheus", 200, "text format", who="viewer")
    await walk.ask("GET", "/api/fleet/prometheus", 401, "without a token", who=None)


AREAS: Final[dict[str, Callable[[Walk], Awaitable[None]]]] = {
    "Provisioning": provisioning,
    "Config": configs,
    "Devices and data": devices,
    "Commands": commands,
    "Python hooks": scripts,
    "Tag templates": templates,
    "v1 mappings": mappings,
    "": the_rest,
}
CENTRE: Final = "enrolment: {pending: true}\n"


async def walked(directory: Path) -> list[Row]:
    """Raises AssertionError where an answer is not the expected one."""
    async with fleet_house(directory, CENTRE) as house, aiohttp.ClientSession() as session:
        walk = Walk(house, session)
        for area, steps in AREAS.items():
            walk.area = area
            await steps(walk)
        return list(walk.rows.values())


def page(rows: list[Row]) -> str:
    lines = [
        "# The fleet system's routes",
        "",
        "Written by `python -m tests.integration.fleet_routes`, which asks a running centre with a running",
        "agent; a test walks again and compares. «Original» is the name in the system that these routes",
        "follow, «documented» what the OpenAPI document names, «seen» what came and why.",
    ]
    for area in dict.fromkeys(row.area for row in rows):
        lines += [
            "",
            f"## {area}",
            "",
            "| route | original | documented | seen |",
            "| --- | --- | --- | --- |",
        ]
        for row in rows:
            if row.area == area:
                documented = ", ".join(map(str, sorted(row.documented)))
                seen = "; ".join(dict.fromkeys(row.cases))
                lines.append(
                    f"| `{row.route.method} {row.route.path}` | {row.original} | {documented} | {seen} |"
                )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        sys.stdout.write(page(asyncio.run(walked(Path(name)))))
