"""Remembered credentials: dropped as a whole when another process takes rights away, met again at once, and
nothing that was read before a `forget` stays."""

from central_sync.services.access.remembered import FRESH_SECONDS, Remembered
from edge_agent.runtime.manual_clock import ManualClock


class _Source:
    def __init__(self) -> None:
        self.generation = 0
        self.asked = 0

    async def read(self, key: str) -> str:
        self.asked += 1
        return key.upper()

    async def read_all(self, _: int) -> list[tuple[str, str]]:
        return [("a", "A"), ("b", "B")]


def _made(source: _Source, clock: ManualClock, seconds: float = FRESH_SECONDS) -> Remembered[str]:
    return Remembered(source.read, clock, lambda: source.generation, lambda _: seconds)


def _emptied(known: Remembered[str]) -> bool:
    return known.was_emptied


async def test_a_new_generation_empties_it_and_all_can_be_met_again() -> None:
    source = _Source()
    known = _made(source, ManualClock())
    await known.learn_all(source.read_all)
    assert known.recall("a") == "A"
    assert not _emptied(known)
    source.generation += 1
    assert known.recall("a") is None
    assert _emptied(known)
    await known.learn_all(source.read_all)
    assert not _emptied(known)
    assert (known.recall("a"), known.recall("b"), source.asked) == ("A", "B", 0)


async def test_what_was_read_while_somebody_lost_rights_is_dropped_and_read_again() -> None:
    source = _Source()
    known = _made(source, ManualClock())

    async def meanwhile(limit: int) -> list[tuple[str, str]]:
        found = await source.read_all(limit)
        known.forget("a")
        return found

    await known.learn_all(meanwhile)
    assert known.recall("a") is None
    assert _emptied(known)


async def test_rows_are_read_again_after_their_own_time_and_not_all_at_once() -> None:
    source, clock = _Source(), ManualClock()
    known = _made(source, clock, seconds=100.0)
    await known.learn_all(source.read_all)
    await clock.advance(51.0)
    assert known.recall("a") is None
    assert known.recall("b") == "B"
    await clock.advance(50.0)
    assert known.recall("b") is None
    assert await known.learn("b") == "B"
    await clock.advance(99.0)
    assert known.recall("b") == "B"
