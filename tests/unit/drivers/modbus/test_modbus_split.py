"""What is learnt from refusals, against a station that is a function."""

from collections import deque
from collections.abc import Callable

from edge_agent.drivers.halving import RETRY_SECONDS
from edge_agent.drivers.modbus.address import Area
from edge_agent.drivers.modbus.plan import Block, Item
from edge_agent.drivers.modbus.split import Trail

Works = Callable[[Block], bool]
ILLEGAL_ADDRESS = 2


def block_of(*spans: tuple[int, int]) -> Block:
    items = tuple(Item(start, end, tag) for tag, (start, end) in enumerate(sorted(spans)))
    start = items[0].start
    return Block(Area.HOLDING, start, max(item.end for item in items) - start, items)


def registers(count: int) -> Block:
    return block_of(*((number, number + 1) for number in range(count)))


def lacking(*addresses: int) -> Works:
    """A station where these addresses do not exist."""
    return lambda block: not any(block.start <= a < block.start + block.count for a in addresses)


def cycle(trail: Trail, works: Works, now: float = 0.0) -> list[Block]:
    """One read as the driver does it. Returns the requests."""
    asked: list[Block] = []
    queue = deque([*trail.parts, *trail.due(now)])
    while queue:
        part = queue.popleft()
        asked.append(part.block)
        if works(part.block):
            trail.answered(part)
        else:
            queue.extendleft(reversed(trail.refused(part, ILLEGAL_ADDRESS, now)))
    trail.settle()
    return asked


def settled(root: Block, works: Works) -> tuple[Trail, list[Block]]:
    """The trail after it was learnt, and the requests of a later cycle."""
    trail = Trail.of(root, ILLEGAL_ADDRESS, 0.0)
    for _ in range(4):
        cycle(trail, works)
    return trail, cycle(trail, works)


def test_one_bad_tag_is_found_and_costs_one_more_request_from_then_on() -> None:
    trail, asked = settled(registers(125), lacking(70))
    assert [bad.item.start for bad in trail.bad.values()] == [70]
    assert [(block.start, block.count) for block in asked] == [(0, 70), (71, 54)]


def test_finding_one_bad_tag_among_125_takes_few_requests() -> None:
    asked = cycle(Trail.of(registers(125), ILLEGAL_ADDRESS, 0.0), lacking(70))
    assert len(asked) <= 2 * 7


def test_several_bad_tags_are_bad_and_no_others() -> None:
    trail, asked = settled(registers(100), lacking(0, 40, 41, 99))
    assert sorted(bad.item.start for bad in trail.bad.values()) == [0, 40, 41, 99]
    assert [(block.start, block.count) for block in asked] == [(1, 39), (42, 57)]


def test_a_hole_in_unused_addresses_makes_no_tag_bad() -> None:
    root = block_of((0, 1), (1, 2), (10, 11), (11, 12), (14, 15))
    trail, asked = settled(root, lacking(5))
    assert not trail.bad
    assert [(block.start, block.count) for block in asked] == [(0, 2), (10, 5)]


def test_a_station_that_takes_short_requests_only_gets_short_ones() -> None:
    trail, asked = settled(registers(120), lambda block: block.count <= 64)
    assert not trail.bad
    assert [block.count for block in asked] == [60, 60]


def test_a_value_over_a_bad_register_is_bad_and_its_neighbours_are_not() -> None:
    root = block_of((0, 2), (1, 2), (2, 4), (3, 4), (4, 5))
    trail, _ = settled(root, lacking(3))
    assert sorted((bad.item.start, bad.item.end) for bad in trail.bad.values()) == [(2, 4), (3, 4)]


def test_bad_tags_are_asked_again_now_and_then() -> None:
    trail, _ = settled(registers(10), lacking(4))
    assert len(cycle(trail, lacking(4), RETRY_SECONDS - 1)) == 2
    assert len(cycle(trail, lacking(4), RETRY_SECONDS)) == 3
    assert len(cycle(trail, lacking(4), RETRY_SECONDS + 1)) == 2


def test_a_tag_that_has_come_back_heals_the_block() -> None:
    trail, _ = settled(registers(10), lacking(4))
    trail.retry_at_once()
    cycle(trail, lacking())
    assert not trail.bad
    cycle(trail, lacking())
    assert trail.healed
    assert [(part.block.start, part.block.count) for part in trail.parts] == [(0, 10)]


def test_a_lone_bad_tag_is_asked_again_and_heals() -> None:
    trail = Trail.of(registers(1), ILLEGAL_ADDRESS, 0.0)
    assert cycle(trail, lacking(0), 1.0) == []
    assert len(cycle(trail, lacking(), RETRY_SECONDS)) == 1
    assert trail.healed


def test_a_station_that_changes_its_mind_is_learnt_anew() -> None:
    trail, _ = settled(registers(16), lacking(4))
    for _ in range(3):
        asked = cycle(trail, lacking(4, 9))
    assert sorted(bad.item.start for bad in trail.bad.values()) == [4, 9]
    assert [(block.start, block.count) for block in asked] == [(0, 4), (5, 4), (10, 6)]
