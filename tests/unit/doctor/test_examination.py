"""The order of the checks: what is told, what is left out, and what a check that hangs or stumbles costs."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from edge_agent.config.models import AgentSettings, Document
from edge_agent.contracts.diagnosis import Outcome, Verdict, failed, ok
from edge_agent.doctor.examination import Tell, examine
from edge_agent.doctor.site import Site
from edge_agent.doctor.waiting import in_thread


class Fixed:
    """A check that finds what it was given."""

    def __init__(
        self, name: str, *outcomes: Outcome, needs: Sequence[str] = (), seconds: float = 5.0
    ) -> None:
        self.name, self.needs, self.seconds = name, needs, seconds
        self._outcomes = outcomes

    async def run(self, site: Site, tell: Tell) -> None:
        for outcome in self._outcomes:
            tell(outcome)


class Hangs(Fixed):
    async def run(self, site: Site, tell: Tell) -> None:
        await super().run(site, tell)
        await asyncio.Event().wait()


class Stumbles(Fixed):
    async def run(self, site: Site, tell: Tell) -> None:
        raise PermissionError(13, "Permission denied", "/root/x")


def site(*, valid: bool = True) -> Site:
    document = Document(agent=AgentSettings(id="press-shop-01")) if valid else None
    return Site(Path("a.yaml"), {}, document)


async def run(*checks: Fixed, only: Sequence[str] = (), valid: bool = True) -> list[Outcome]:
    told: list[Outcome] = []
    found = await examine(checks, site(valid=valid), only, told.append, lambda _: None)
    assert told == found
    return found


GOOD, BAD = ok("good"), failed("bad", "mend it")


async def test_what_needs_a_check_that_failed_is_left_out_and_so_is_what_needs_that() -> None:
    found = await run(
        Fixed("dns", Outcome("dns", (BAD,), "centre"), Outcome("dns", (GOOD,), "connection p")),
        Fixed("tls", Outcome("tls", (GOOD,)), needs=("dns centre",)),
        Fixed("centre", Outcome("centre", (GOOD,)), needs=("dns centre", "tls")),
        Fixed("connections", Outcome("connections", (GOOD,)), needs=("dns connection p",)),
    )
    assert [(outcome.check, outcome.verdict) for outcome in found] == [
        ("dns", Verdict.FAILED),
        ("dns", Verdict.OK),
        ("tls", Verdict.SKIPPED),
        ("centre", Verdict.SKIPPED),
        ("connections", Verdict.OK),
    ]
    assert "`dns centre`" in found[2].text


async def test_only_the_chosen_run_and_an_invalid_config_still_blocks_them() -> None:
    checks = (
        Fixed("config", Outcome("config", (BAD,))),
        Fixed("disk", Outcome("disk", (GOOD,)), needs=("config",)),
    )
    assert [outcome.check for outcome in await run(*checks, only=("disk",))] == ["disk"]
    (outcome,) = await run(*checks, only=("disk",), valid=False)
    assert outcome.verdict is Verdict.SKIPPED


async def test_a_check_that_hangs_is_given_up_with_what_it_had_told() -> None:
    began = time.monotonic()
    found = await run(
        Hangs("disk", Outcome("disk", (GOOD,), "a"), seconds=0.05), Fixed("dns", Outcome("dns", (GOOD,)))
    )
    assert time.monotonic() - began < 2
    assert [outcome.verdict for outcome in found] == [Verdict.OK, Verdict.FAILED, Verdict.OK]
    assert "--only disk" in found[1].remedies[0]


async def test_a_place_that_may_not_be_looked_into_is_a_finding() -> None:
    (outcome,) = await run(Stumbles("disk"))
    assert outcome.verdict is Verdict.FAILED
    assert "/root/x: Permission denied" in outcome.text


async def test_a_call_that_blocks_is_left_behind_and_its_error_is_raised_here() -> None:
    with pytest.raises(TimeoutError):
        await in_thread(lambda: time.sleep(0.3), 0.02)
    with pytest.raises(ZeroDivisionError):
        await in_thread(lambda: 1 // 0, 1.0)
    assert await in_thread(lambda: 7, 1.0) == 7
