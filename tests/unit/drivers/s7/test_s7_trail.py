"""What is asked after a CPU refused a block."""

from edge_agent.drivers.halving import RETRY_SECONDS
from edge_agent.drivers.s7.address import parse
from edge_agent.drivers.s7.blocks import Block
from edge_agent.drivers.s7.trail import Trail
from tests.unit.drivers.s7.test_s7_plan import planned, words


class Cpu:
    """Refuses what touches the bad bytes."""

    def __init__(self, trail: Trail, bad: set[int]) -> None:
        self.trail = trail
        self.bad = bad
        self.asked = 0

    def read(self, now: float) -> set[int]:
        """The bytes that were read."""
        found: set[int] = set()
        queue = [block for request in self.trail.requests for block in request.blocks]
        queue += [block for request in self.trail.due(now) for block in request.blocks]
        while queue:
            block = queue.pop(0)
            self.asked += 1
            span = set(range(block.start, block.start + block.count))
            if span & self.bad:
                queue += self.trail.refused(block, 0x05, now)
            else:
                self.trail.answered(block)
                found |= span
        return found

    def bad_ranges(self) -> list[str]:
        return sorted(str(bad.block) for bad in self.trail.bad.values())


def trail(count: int = 64) -> Trail:
    return Trail(planned(words(count)).planned)


def test_a_bad_tag_is_found_and_all_others_are_read() -> None:
    cpu = Cpu(trail(), {20})
    assert cpu.read(0.0) == set(range(128)) - {20, 21}
    assert cpu.bad_ranges() == ["DB1.DBB20..21"]
    first, cpu.asked = cpu.asked, 0
    assert cpu.read(1.0) == set(range(128)) - {20, 21}
    assert cpu.asked < first


def test_tags_of_the_same_bytes_are_bad_together() -> None:
    made = planned([{"address": "DB1.DBX0.0"}, {"address": "DB1.DBX0.1"}, {"address": "DB1.DBB1"}])
    cpu = Cpu(Trail(made.planned), {0})
    assert cpu.read(0.0) == {1}
    assert cpu.bad_ranges() == ["DB1.DBB0"]
    (bad,) = cpu.trail.bad.values()
    assert [item.tag for item in bad.block.items] == [0, 1]


def test_a_bad_tag_that_is_good_again_makes_the_block_whole() -> None:
    cpu = Cpu(trail(), {20, 40})
    cpu.read(0.0)
    cpu.bad = {40}
    assert 20 not in cpu.read(RETRY_SECONDS - 1)
    assert 20 in cpu.read(RETRY_SECONDS)
    assert cpu.bad_ranges() == ["DB1.DBB40..41"]
    cpu.bad = set()
    assert cpu.read(2 * RETRY_SECONDS) == set(range(128))
    assert cpu.trail.is_whole
    cpu.asked = 0
    assert cpu.read(2 * RETRY_SECONDS + 1) == set(range(128))
    assert cpu.asked == 1


def test_a_hole_between_tags_costs_two_requests_and_no_tag() -> None:
    made = planned([{"address": "DB1.DBW0"}, {"address": "DB1.DBW20"}])
    cpu = Cpu(Trail(made.planned), {10})
    for turn in range(3):
        assert cpu.read(float(turn)) == {0, 1, 20, 21}
    assert not cpu.bad_ranges()


def test_all_of_a_short_block_behind_its_end() -> None:
    cpu = Cpu(trail(), set(range(50, 128)))
    assert cpu.read(0.0) == set(range(50))
    assert len(cpu.bad_ranges()) == 39


def test_a_block_knows_its_parts() -> None:
    block = trail(4).layout.blocks[0]
    assert [str(part) for part in block.halves()] == ["DB1.DBB0..3", "DB1.DBB4..7"]
    assert block.part(block.items[2:]).base == 4
    assert Block(parse("T5").area, 0, 5, 2, block.items, 8).at(6) == 10
