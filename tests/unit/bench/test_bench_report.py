"""What a run's lines become: a verdict on ratios, a table, a picture, a line through points."""

from typing import Any
from xml.etree import ElementTree as ET

import orjson
import pytest

from bench import picture, report
from bench.figure import Beside, Outcome
from bench.fit import lateness_ms, least_squares, percentile
from bench.ratios import TOLERANCE, regressions, stored
from bench.registry import FIGURES


def outcome(ratio: float | None) -> Outcome:
    beside = None if ratio is None else Beside("a peer", 1.0, "s", ratio)
    return Outcome("a_figure", 1.0, "s", "", None, "", beside)


def test_a_gross_regression_against_the_stored_ratio_is_found_and_noise_is_not() -> None:
    known = {"a_figure": 2.0}
    assert regressions([outcome(2.0 * TOLERANCE)], known) == []
    (text,) = regressions([outcome(2.0 * TOLERANCE + 0.1)], known)
    assert text.startswith("a_figure: ratio 5.1 is over")
    assert regressions([outcome(None)], known) == []
    assert regressions([outcome(99.0)], {}) == []


def test_every_stored_ratio_is_of_a_figure_that_a_quick_run_measures() -> None:
    quick = {figure.name for figure in FIGURES if figure.quick_seconds is not None}
    told = {"centre_ingest_cost"}  # told by centre_ingest beside its own
    assert set(stored()) <= quick | told


def test_lines_through_points() -> None:
    line = least_squares([(0, 1), (1, 3), (2, 5)])
    assert (line.slope, line.intercept, line.r2) == (2, 1, 1)
    with pytest.raises(ValueError, match="two different x"):
        least_squares([(1, 1), (1, 2)])


def test_percentiles_are_values_that_occurred() -> None:
    values = list(range(1, 101))
    assert (percentile(values, 0.5), percentile(values, 0.99), percentile(values, 1.0)) == (50, 99, 100)


def test_lateness_is_against_the_earliest_on_the_groups_own_grid() -> None:
    second = 1_000_000_000
    ends = [500 + each * second for each in range(10)]
    ends[3] += 7_000_000
    assert lateness_ms(ends, second) == [0, 0, 0, 7, 0, 0, 0, 0, 0, 0]


def measured(name: str, value: float | None, **more: Any) -> dict[str, Any]:
    machine = {"cpu": "x", "cores": 2, "kernel": "6", "python": "3.11", "uvloop": None, "sqlite": "3"}
    return {
        "name": name, "value": value, "unit": "s", "goal": "≤ 1 s", "met": None, "how": "by a clock",
        "beside": None, "details": {}, "machine": machine, "commit": "abc", "time": "2026-01-01T00:00:00Z",
    } | more  # fmt: skip


def test_the_table_has_the_last_line_of_each_figure_and_says_what_was_not_met() -> None:
    beside = {"what": "a peer", "value": 12_345.6, "unit": "1/s", "ratio": 0.5}
    lines = [
        measured("one", 1.0),
        measured("two", None, details={"reason": "no network"}),
        measured("one", 2.0, met=False, beside=beside),
    ]
    table = report.generated(report.latest(b"\n".join(map(orjson.dumps, lines))))
    assert "| one | 2 s | ≤ 1 s | **no** | a peer: 12,346 1/s | 0.5 |" in table
    assert "| two | not measured: no network | ≤ 1 s |" in table
    assert table.count("| one |") == 1


def test_the_picture_has_a_point_for_each_load_within_its_bounds() -> None:
    points = [
        {
            "samples_per_second": x,
            "agent_cpu_percent": x / 1e4,
            "bare_cpu_percent": 1,
            "centre_cpu_percent": 2,
        }
        for x in (100, 50_000, 200_000)
    ]
    root = ET.fromstring(picture.draw(points))
    dots = root.findall("{*}circle")
    assert len(dots) == 9
    for dot in dots:
        assert 0 < float(dot.attrib["cx"]) < picture.WIDTH
        assert 0 < float(dot.attrib["cy"]) < picture.HEIGHT


def generated(*lines: dict[str, Any], old: str = "") -> str:
    return report.generated(report.latest(b"\n".join(map(orjson.dumps, lines))), old)


def test_a_figure_that_was_not_measured_keeps_its_row_and_a_new_one_takes_its_place() -> None:
    old = generated(measured("a", 1), measured("b", 2))
    new = generated(measured("b", 3), measured("c", 4), old=old).splitlines()
    rows = [line.split(" | ")[:2] for line in new if line.startswith("| ")][2:]
    assert rows == [["| a", "1 s"], ["| b", "3 s"], ["| c", "4 s"]]
    assert [line[:7] for line in new if line.startswith("- ")] == ["- **a**", "- **b**", "- **c**"]
    assert sum("cores of" in line for line in new) == 1
