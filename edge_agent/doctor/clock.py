"""Check `clock`: whether time stamps will be right, and whether certificates can be judged by this clock."""

import contextlib
import http.client
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from edge_agent.config.models import CentralSettings
from edge_agent.contracts.diagnosis import Finding, Outcome, failed, ok, warning
from edge_agent.contracts.figures import span
from edge_agent.doctor.examination import Tell
from edge_agent.doctor.exchange import ask, distrustful, is_broker, is_tls
from edge_agent.doctor.site import Site
from edge_agent.doctor.waiting import in_thread
from edge_agent.runtime.clock import sync_state

NAME: Final = "clock"
# Before this version was written, or further ahead than any certificate lasts.
FIRST_YEAR: Final = 2026
LAST_YEAR: Final = 2100
# A Date header has whole seconds, and the way there takes time.
UNSURE_SECONDS: Final = 2.0
WRONG_SECONDS: Final = 60.0
_ASK_SECONDS: Final = 5.0
_SET: Final = (
    "set it: `timedatectl set-ntp true`, or without a network `timedatectl set-time 'YYYY-MM-DD HH:MM:SS'`"
)
_SYNCHRONISE: Final = (
    "start a time service (`timedatectl set-ntp true`, chrony or systemd-timesyncd), with a server that can "
    "be reached from here"
)


def judge(wall_seconds: float, synchronised: bool | None, ahead_seconds: float | None) -> list[Finding]:
    """wall_seconds: this clock, since 1970. ahead_seconds: of the centre's; None: it was not compared."""
    try:
        moment = datetime.fromtimestamp(wall_seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return [failed("the clock is beyond all calendars", _SET)]
    shown = f"{moment:%Y-%m-%d %H:%M:%S}Z"
    found: list[Finding] = []
    if FIRST_YEAR <= moment.year <= LAST_YEAR:
        found.append(ok(shown))
    else:
        found.append(failed(f"{shown} cannot be: the clock was never set", _SET))
    if synchronised is False:
        found.append(warning("nothing keeps the clock right (not synchronised)", _SYNCHRONISE))
    else:
        found.append(ok("synchronised" if synchronised else "whether it is synchronised cannot be seen here"))
    if ahead_seconds is not None:
        found.append(_judge_offset(ahead_seconds, synchronised))
    return found


def _judge_offset(ahead_seconds: float, synchronised: bool | None) -> Finding:
    if abs(ahead_seconds) <= UNSURE_SECONDS:
        return ok("as the centre's")
    side = "ahead of" if ahead_seconds > 0 else "behind"
    text = f"{span(abs(ahead_seconds))} {side} the centre's"
    if abs(ahead_seconds) < WRONG_SECONDS:
        return warning(text, _SYNCHRONISE)
    if synchronised:
        return warning(text, "this clock is synchronised: see whether the centre's is")
    return failed(text, _SET)


def offset_of(date: str, wall_seconds: float) -> float | None:
    """By how much this clock is ahead of one that says `date` (RFC 9110, 5.6.7); None for no date."""
    with contextlib.suppress(ValueError, TypeError):
        return wall_seconds - (parsedate_to_datetime(date).timestamp() + 0.5)
    return None


class Clock:
    name = NAME
    needs = ()
    seconds = 12.0

    async def run(self, site: Site, tell: Tell) -> None:
        ahead = await _ahead_of_the_centre(site)
        tell(Outcome(NAME, tuple(judge(time.time(), sync_state(), ahead))))


async def _ahead_of_the_centre(site: Site) -> float | None:
    if site.central is None or is_broker(site.central):
        return None
    if site.running is not None and site.running.clock.offset_ms is not None:
        return site.running.clock.offset_ms / 1_000
    central = site.central
    with contextlib.suppress(OSError, TimeoutError, http.client.HTTPException):
        return await in_thread(lambda: _ask(central), _ASK_SECONDS)
    return None  # the checks of the way to the centre say why


def _ask(central: CentralSettings) -> float | None:
    """Whoever answers has a clock: nothing secret is sent, so that its certificate does not matter.

    A certificate is what a wrong clock refuses first."""
    context = distrustful() if is_tls(central) else None
    answer = ask(central, "/api/fleet/health", {}, context, _ASK_SECONDS)
    return offset_of(answer.headers.get("date", ""), answer.wall)
