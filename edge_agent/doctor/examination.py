"""Runs the checks in their order: each under its deadline, and none on what an earlier one found broken."""

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Protocol

from edge_agent.contracts.diagnosis import Outcome, Verdict, failed, skipped
from edge_agent.contracts.figures import span
from edge_agent.doctor.site import Site

Tell = Callable[[Outcome], None]


class Check(Protocol):
    """needs: `CHECK` or `CHECK SUBJECT`: where that failed, this is skipped. seconds: the most it takes."""

    @property
    def name(self) -> str: ...
    @property
    def needs(self) -> Sequence[str]: ...
    @property
    def seconds(self) -> float: ...

    async def run(self, site: Site, tell: Tell) -> None:
        """Tells each outcome as soon as it is known."""
        ...


async def examine(
    checks: Iterable[Check], site: Site, only: Collection[str], tell: Tell, starting: Callable[[str], None]
) -> list[Outcome]:
    """All outcomes. only: these checks; none: all. starting: is told a check's name before it begins."""
    outcomes: list[Outcome] = []

    def keep(outcome: Outcome) -> None:
        outcomes.append(outcome)
        tell(outcome)

    for check in checks:
        if only and check.name not in only:
            continue
        starting(check.name)
        broken = blocker(check.needs, outcomes)
        # Without its own check in the selection, an invalid config still gives nothing to look at.
        if broken is None and "config" in check.needs and site.document is None:
            broken = "config"
        if broken is not None:
            keep(Outcome(check.name, (skipped(f"not checked: it needs what `{broken}` found broken"),)))
            continue
        await _run(check, site, keep)
    return outcomes


def blocker(needs: Iterable[str], outcomes: Iterable[Outcome]) -> str | None:
    """The first of the needs that failed, or was itself skipped for that."""
    broken = {
        name
        for outcome in outcomes
        if outcome.verdict is Verdict.FAILED
        for name in (outcome.check, f"{outcome.check} {outcome.subject}")
    }
    return next((need for need in needs if need in broken), None)


async def _run(check: Check, site: Site, keep: Tell) -> None:
    began = time.monotonic()
    told = False

    def tell(outcome: Outcome) -> None:
        nonlocal told
        told = True
        keep(outcome)

    try:
        async with asyncio.timeout(check.seconds):
            await check.run(site, tell)
    except TimeoutError:
        text = f"not {'finished' if told else 'known'} after {span(time.monotonic() - began)}: given up"
        remedy = f"something hangs: look at it alone with `edge-agent doctor --only {check.name}`"
        keep(Outcome(check.name, (failed(text, remedy),), seconds=time.monotonic() - began))
    except OSError as error:  # a directory that this user may not even look into
        text = (
            f"cannot be looked at: {f'{error.filename}: ' if error.filename else ''}{error.strerror or error}"
        )
        keep(Outcome(check.name, (failed(text, "run this as root or the agent's user"),)))
