"""Hook scripts that attack, through the real worker: none gets what it wants, and neither the hook beside it
nor the agent's memory feels it."""

import asyncio
from collections import Counter
from dataclasses import dataclass

import psutil
import pytest

from tests.crash.attacks.scripts import ENDINGS, Attack, Ended, Range, corpus

CORPUS = corpus()
LEAST_ATTACKS = 150
MOST_GROWTH = 4 << 20


@dataclass(frozen=True)
class Fought:
    """fates: how each attack ended, and whether the hook beside it was well afterwards. The rest is of the
    process that began the workers."""

    fates: dict[str, tuple[Ended, bool]]
    grown_bytes: int
    descriptors: tuple[int, int]
    workers_left: int


async def fight() -> Fought:
    process, range_ = psutil.Process(), Range()
    before = process.num_fds()
    await range_.healthy()
    rss = process.memory_info().rss
    try:
        fates = {each.name: (await range_.attacked(each), await range_.healthy()) for each in CORPUS}
        grown = process.memory_info().rss - rss
    finally:
        await range_.close()
    left = [each for each in process.children() if "edge_agent.hooks.worker" in each.cmdline()]
    return Fought(fates, grown, (before, process.num_fds()), len(left))


@pytest.fixture(scope="module")
def fought() -> Fought:
    return asyncio.run(fight())


def test_the_corpus_names_each_attack_once_and_every_ending() -> None:
    assert len({each.name for each in CORPUS}) == len(CORPUS) >= LEAST_ATTACKS
    assert set(Counter(each.ending for each in CORPUS)) == set(ENDINGS) - {"gone"}


@pytest.mark.parametrize("attack", CORPUS, ids=[each.name for each in CORPUS])
def test_an_attack_reaches_nothing_and_the_hook_beside_it_is_well(attack: Attack, fought: Fought) -> None:
    ended, healthy = fought.fates[attack.name]
    assert (ended.ending, healthy) == (attack.ending, True), ended.words


def test_the_agent_neither_grows_nor_keeps_a_process_or_descriptor(fought: Fought) -> None:
    before, after = fought.descriptors
    assert fought.grown_bytes < MOST_GROWTH
    assert (after - before, fought.workers_left) == (0, 0)


async def test_an_attack_that_got_through_would_be_seen() -> None:
    source = 'OUTPUTS = {"out": "float64"}\ndef transform(frame):\n    frame["out"] = 1\n'
    range_ = Range()
    try:
        assert (await range_.attacked(Attack("through", "error", source))).ending == "reached"
    finally:
        await range_.close()
