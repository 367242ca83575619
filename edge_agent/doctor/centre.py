"""Check `centre`: whether the centre answers, whether it works, and whether it knows this device."""

import http.client
import ssl
import time
from pathlib import Path
from typing import Final

import orjson

from edge_agent.config.models import CentralSettings
from edge_agent.contracts.diagnosis import Finding, Outcome, failed, ok, unreachable, warning
from edge_agent.contracts.figures import latency
from edge_agent.doctor.examination import Tell
from edge_agent.doctor.exchange import Answer, ask, is_broker, is_tls, reach
from edge_agent.doctor.site import Site, first_hop
from edge_agent.doctor.tls import connection_text, trust
from edge_agent.doctor.waiting import in_thread

NAME: Final = "centre"
HEALTH: Final = "/api/fleet/health"
_STEP_SECONDS: Final = 8.0
_SLOW_SECONDS: Final = 3.0
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_WAY: Final = "see what is between: a proxy (central.proxy), a portal that wants a login, another web server"


def judge_health(answer: Answer) -> Finding:
    """What came for the one route that needs no token."""
    said = _object(answer.body).get("status")
    if said == "ok" and answer.status == 200:
        text = f"the centre works, and answers in {latency(answer.seconds)}"
        if answer.seconds > _SLOW_SECONDS:
            return warning(f"{text}: slow", "see the centre's load, and the network between")
        return ok(text)
    if said == "failing":
        return unreachable("the centre answers and cannot store", "see the centre's log and its disk")
    return judge_stranger(answer)


def judge_stranger(answer: Answer) -> Finding:
    """Something answers that is not the centre."""
    if answer.status in _REDIRECTS:
        place = answer.headers.get("location", "")[:200]
        remedy = f"if that is the centre, write its address into central.url; else {_WAY}"
        return failed(f"sent elsewhere, to {place}: not followed", remedy)
    if answer.status == 407:
        return failed(
            "the proxy wants a login", "write it into central.proxy: http://USER:PASSWORD@HOST:PORT"
        )
    if answer.status in (502, 503, 504):
        return unreachable(f"{answer.status}: a proxy answers, and no centre behind it", "start the centre")
    if answer.body.lstrip()[:1] == b"<":
        return failed(f"{answer.status}: a web page answers, not the centre", _WAY)
    text = f"{answer.status}: what answers is not the centre"
    return failed(text, f"see whether central.url is right, without /api/fleet at its end; else {_WAY}")


def judge_token(answer: Answer, device: str) -> Finding:
    """What came for this device's config: 404 stands for a device that has none."""
    detail = str(_object(answer.body).get("detail", ""))[:200]
    create = f"`central-sync token create --device {device}`"
    match answer.status:
        case 200 | 304:
            return ok("the token is accepted, and the centre has a config for this device")
        case 404 if _object(answer.body):
            return ok("the token is accepted")
        case 401:
            remedy = f"make one at the centre ({create}) and write it where central.token says"
            return failed(f"the token is not known there or revoked: {detail}".rstrip(": "), remedy)
        case 403:
            remedy = f"agent.id is {device}: use the token of this device ({create})"
            return failed(f"the token is not this device's: {detail}".rstrip(": "), remedy)
        case 429 | 503:
            return warning(f"{answer.status}: the centre asks for a pause", "try again in a minute")
    return judge_stranger(answer)


def _object(body: bytes) -> dict[str, object]:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


class Centre:
    name = NAME
    needs = ("config", "dns centre", "tls")
    seconds = 25.0

    async def run(self, site: Site, tell: Tell) -> None:
        if site.central is None:
            tell(Outcome(NAME, (ok("no centre is configured: the agent works alone"),)))
            return
        began = time.monotonic()
        if is_broker(site.central):
            found = await _try_broker(site.central, site.directory)
        else:
            found = await _try(site.central, site.valid.agent.id, site.directory)
        if site.sink is not None and site.sink.state != "ok":
            text = f"the running agent says: {site.sink.state}: {site.sink.detail}"
            found.append(warning(text, "see its log; it tries again by itself"))
        tell(Outcome(NAME, tuple(found), seconds=time.monotonic() - began))


async def _try(central: CentralSettings, device: str, directory: Path) -> list[Finding]:
    bearer = {"Authorization": f"Bearer {central.token}"}
    found: list[Finding] = []
    try:
        context = await in_thread(lambda: _context(central, directory), _STEP_SECONDS)
        health = await in_thread(lambda: ask(central, HEALTH, {}, context, _STEP_SECONDS), _STEP_SECONDS)
        found.append(judge_health(health))
        if "status" not in _object(health.body):
            return found  # a stranger is not told the token
        if central.token is None:
            remedy = "run `edge-agent enroll` with a token of the centre (`central-sync enrol-token create`)"
            found.append(failed("this device has no credential", remedy))
            return found
        path = f"/api/fleet/edge/{device}/config"
        known = await in_thread(lambda: ask(central, path, bearer, context, _STEP_SECONDS), _STEP_SECONDS)
        found.append(judge_token(known, device))
    except http.client.HTTPException as error:
        found.append(failed(f"what answers does not speak HTTP: {type(error).__name__}", _WAY))
    except (OSError, TimeoutError) as error:
        host = first_hop(central)
        remedy = f"see whether the centre runs, and whether a firewall lets {host} through from here"
        found.append(unreachable(f"{host} {connection_text(error)}", remedy))
    return found


async def _try_broker(central: CentralSettings, directory: Path) -> list[Finding]:
    """Whether it lets this device in, and whether a centre listens there, the running agent finds out."""
    host = first_hop(central)
    try:
        context = await in_thread(lambda: _context(central, directory), _STEP_SECONDS)
        await in_thread(lambda: reach(central, context, _STEP_SECONDS), _STEP_SECONDS)
    except (OSError, TimeoutError, http.client.HTTPException) as error:
        remedy = f"see whether the broker runs, and whether a firewall lets {host} through from here"
        return [unreachable(f"the broker {host} {connection_text(error)}", remedy)]
    return [ok(f"the broker {host} takes connections; the centre is behind it")]


def _context(central: CentralSettings, directory: Path) -> ssl.SSLContext | None:
    return trust(central, directory) if is_tls(central) else None
