"""Columns: a whole group's values at once, each element with its own quality."""

from typing import Any

import pytest

from edge_agent.wire.schema import Order, TagSchema, ValueType
from tests.unit.hooks.worker.desk import Desk, Shown, failure, good

ZONES = [TagSchema(f"zone{n:02}", ValueType.INT16, Order.ABCD, scale=0.5) for n in range(1, 5)]
MIXED = [*ZONES, TagSchema("flag", ValueType.BOOL), TagSchema("name", ValueType.STRING)]
SCRIPT = """
OUTPUTS = {"r": "json", "zone*": "float64"}
def transform(frame):
    z = frame.columns("zone*")
"""
VALUES = {"zone01": 1.0, "zone02": 2.0, "zone03": 3.0, "zone04": 4.0}


async def made(lines: str, values: dict[str, Any], quality: dict[str, str] | None = None) -> Shown:
    desk = await Desk.of(SCRIPT + f"    {lines}\n", tags=ZONES)
    result = await desk.frame(values, quality)
    assert isinstance(result, dict), result
    return result


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("z * 2 + 1", [3.0, 5.0, 7.0, 9.0]), ("1 - z", [0.0, -1.0, -2.0, -3.0]),
        ("6 / z", [6.0, 3.0, 2.0, 1.5]),
        ("z // 2", [0.0, 1.0, 1.0, 2.0]), ("7 // z", [7.0, 3.0, 2.0, 1.0]), ("z % 2", [1.0, 0.0, 1.0, 0.0]),
        ("5 % z", [0.0, 1.0, 2.0, 1.0]), ("z ** 2", [1.0, 4.0, 9.0, 16.0]), ("2 ** z", [2.0, 4.0, 8.0, 16.0]),
        ("-z", [-1.0, -2.0, -3.0, -4.0]), ("abs(-z)", [1.0, 2.0, 3.0, 4.0]), ("z + z", [2.0, 4.0, 6.0, 8.0]),
        ("z.clip(2, 3)", [2.0, 2.0, 3.0, 3.0]), ("z.clip(high=2)", [1.0, 2.0, 2.0, 2.0]),
        ("round(z / 3, 1)", [0.3, 0.7, 1.0, 1.3]), ("(z / 3).round(1)", [0.3, 0.7, 1.0, 1.3]),
        ("z.where(z > 2, 0)", [0, 0, 3.0, 4.0]), ("z.where(z > 2, -z)", [-1.0, -2.0, 3.0, 4.0]),
        ("z[1:3]", [2.0, 3.0]), ("frame.columns('zone[02..03]')", [2.0, 3.0]),
        ("frame.columns('zone?3')", [3.0]),
    ],
)  # fmt: skip
async def test_columns_compute_element_by_element(expression: str, expected: list[float]) -> None:
    assert good(await made(f"frame['r'] = list({expression})", VALUES), "r") == pytest.approx(expected)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("list(z > 2)", [False, False, True, True]), ("list((z >= 2) & (z < 4))", [False, True, True, False]),
        ("list((z <= 1) | (z == 4))", [True, False, False, True]),
        ("list(~(z != 2))", [False, True, False, False]),
        ("[z.sum(), z.mean(), z.min(), z.max(), len(z)]", [10.0, 2.5, 1.0, 4.0, 4]),
        ("[(z > 2).count(), (z > 2).any(), (z > 2).all()]", [2, True, False]),
        ("list(z.names)", ["zone01", "zone02", "zone03", "zone04"]),
        ("[z[0], z[-1], z['zone02']]", [1.0, 4.0, 2.0]),
        ("list((z // 1).where(z > 0).good())", [1.0, 2.0, 3.0, 4.0]),
    ],
)  # fmt: skip
async def test_columns_compare_and_sum_up(expression: str, expected: list[Any]) -> None:
    assert good(await made(f"frame['r'] = {expression}", VALUES), "r") == expected


async def test_one_bad_element_spoils_itself_alone() -> None:
    bad = await made("frame.set_columns('zone*', z * 2)", {**VALUES, "zone02": None}, {"zone02": "bad_comm"})
    assert good(bad, "zone01", "zone03", "zone04") == [2.0, 6.0, 8.0]
    assert (bad["zone02"].value, bad["zone02"].quality) == (None, "bad_comm")


async def test_a_stale_element_stays_stale() -> None:
    stale = await made("frame.set_columns('zone*', z + z * 0)", VALUES, {"zone03": "stale"})
    assert (stale["zone03"].value, stale["zone03"].quality) == (3.0, "stale")
    assert good(stale, "zone01", "zone02", "zone04") == [1.0, 2.0, 4.0]


async def test_what_has_no_result_is_bad_by_itself() -> None:
    result = await made("frame.set_columns('zone*', 1 / (z - 2))", VALUES)
    assert (result["zone02"].value, result["zone02"].quality) == (None, "bad_value")
    assert good(result, "zone01", "zone03") == [-1.0, 1.0]
    root = await made("frame.set_columns('zone*', (z - 2) ** 0.5)", VALUES)
    assert (root["zone01"].value, root["zone01"].quality) == (None, "bad_value")


async def test_a_sum_over_a_bad_element_is_bad_and_one_over_the_good_ones_is_good() -> None:
    values, quality = {**VALUES, "zone02": None}, {"zone02": "bad_comm"}
    over_all = await made("frame['r'] = z.sum()", values, quality)
    assert (over_all["r"].value, over_all["r"].quality) == (None, "bad_comm")
    assert good(await made("frame['r'] = [z.good().sum(), len(z.good())]", values, quality), "r") == [8.0, 3]


async def test_what_is_filled_in_is_uncertain() -> None:
    values, quality = {**VALUES, "zone02": None}, {"zone02": "bad_comm"}
    filled = await made("frame.set_columns('zone*', z.fill(0))", values, quality)
    assert (filled["zone02"].value, filled["zone02"].quality) == (0.0, "uncertain")
    assert good(filled, "zone01") == 1.0


async def test_qualities_can_be_looked_at() -> None:
    result = await made("frame.set('r', z.qualities(), quality='good')", VALUES, {"zone03": "stale"})
    assert good(result, "r") == ["good", "good", "stale", "good"]


async def test_bits_of_whole_numbers_are_truth_values() -> None:
    desk = await Desk.of(
        'OUTPUTS = {"b": "json"}\ndef transform(frame):\n    w = frame.columns("w*")\n'
        '    frame["b"] = [list(w.bit(0)), list(w & 2), list(w | 1), list(~w)]\n',
        tags=[TagSchema(f"w{n}", ValueType.UINT16) for n in range(3)],
    )
    assert good(await desk.frame({"w0": 0, "w1": 1, "w2": 2}), "b") == [
        [False, True, False], [0, 0, 2], [1, 1, 3], [-1, -2, -3],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("if z: pass", "a column is neither true nor false"),
        ("z + [1, 2]", "a column is computed with numbers and columns, not with list"),
        ("z + z[1:]", "a column of 4 values and one of 3"),
        ("z.where(True)", "where() takes a column of the same length"),
        ("frame.set_columns('zone*', z[1:])", "'zone*' stands for 4 outputs, and 3 values were given"),
    ],
)
async def test_mistakes_with_columns_are_named(line: str, message: str) -> None:
    desk = await Desk.of(SCRIPT + f"    {line}\n", tags=ZONES)
    assert message in failure(await desk.frame(VALUES)).message


async def test_columns_of_tags_that_do_not_stand_together_are_in_the_groups_order() -> None:
    desk = await Desk.of(
        'OUTPUTS = {"r": "json"}\ndef transform(frame):\n    frame["r"] = list(frame.columns())\n', tags=MIXED
    )
    assert good(await desk.frame({**VALUES, "flag": True, "name": "x"}), "r") == [
        1.0,
        2.0,
        3.0,
        4.0,
        True,
        "x",
    ]


async def test_elements_that_are_not_in_a_frame_are_those_that_were() -> None:
    desk = await Desk.of(SCRIPT + "    frame['r'] = z.sum()\n", tags=ZONES)
    shown = await desk.run([VALUES, {"zone01": 5.0}, {"zone02": 6.0}])
    assert [good(each, "r") for each in shown] == [10.0, 14.0, 18.0]


@pytest.mark.parametrize(
    "sum_up",
    ["(KEPT[0] * 0 + z).sum()", "KEPT[0].where(KEPT[0] < 0, z).sum()", "(z > 0).where(KEPT[0] > 0)[2]"],
)
async def test_a_column_of_an_earlier_frame_hides_no_quality(sum_up: str) -> None:
    lines = (
        SCRIPT.replace("OUTPUTS", "KEPT = []\nOUTPUTS") + f"    KEPT.append(z)\n    frame['r'] = {sum_up}\n"
    )
    desk = await Desk.of(lines, tags=ZONES)
    assert (await desk.frame(VALUES)) is not None
    stale = await desk.frame(VALUES, {"zone03": "stale"})
    assert isinstance(stale, dict), stale
    assert stale["r"].quality == "stale"
