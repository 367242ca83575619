"""Sets of numbers as ranges: cases beside the property tests."""

from edge_agent.wire import ranges


def test_touching_and_overlapping_ranges_are_one() -> None:
    assert ranges.coalesce([(5, 6), (1, 2), (3, 3), (5, 9), (20, 19)]) == [(1, 3), (5, 9)]
    assert ranges.coalesce([[1, 4], [2, 3]]) == [(1, 4)]
    assert ranges.of_numbers([3, 1, 2, 7, 2]) == [(1, 3), (7, 7)]


def test_a_hole_over_several_ranges() -> None:
    assert ranges.subtract([(1, 10), (20, 30)], [(5, 24)]) == [(1, 4), (25, 30)]
    assert ranges.subtract([(1, 10)], [(0, 0), (3, 4), (6, 6), (11, 12)]) == [(1, 2), (5, 5), (7, 10)]
    assert ranges.intersect([(1, 10), (20, 30)], [(5, 24)]) == [(5, 10), (20, 24)]


def test_a_million_numbers_cost_one_pair() -> None:
    whole = ranges.union([(1, 500_000)], [(500_001, 1_000_000)])
    assert whole == [(1, 1_000_000)]
    assert ranges.size(whole) == 1_000_000
    assert ranges.contains(whole, 1_000_000)
    assert not ranges.contains(whole, 0)
