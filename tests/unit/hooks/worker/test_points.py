"""What is said of each point is so: its example runs, and the stubs name what scripts are given."""

import ast
from typing import Any

import pytest

from edge_agent.hooks.stubs import stubs
from edge_agent.hooks.worker.account import Account
from edge_agent.hooks.worker.column import Column
from edge_agent.hooks.worker.events import Alert, Cycle, Happening, Link, Tick
from edge_agent.hooks.worker.frame import Frame
from edge_agent.hooks.worker.modules import MARKERS
from edge_agent.wire.hook_points import POINTS, PointInfo
from edge_agent.wire.schema import Schema, TagSchema, ValueType
from edge_agent.wire.scripts import HookPoint
from tests.unit.hooks.worker.desk import Desk, good

READ: dict[str, Any] = {
    "press1.power": [1.5, 0, 1], "press2.power": [2.0, 0, 1], "press1.pieces": [7, 0, 1],
}  # fmt: skip
CALLS: dict[HookPoint, dict[str, Any]] = {
    HookPoint.ON_CONNECT: {"connection": "press1", "driver": "modbus", "address": "h", "state": "down"},
    HookPoint.ON_ALERT: {"code": "tag_bad", "message": "oil", "connection": None, "data": {}},
    HookPoint.ON_SCHEDULE: {"scheduled": 1_000},
}
MADE: dict[HookPoint, tuple[str, Any]] = {
    HookPoint.ON_CONNECT: ("losses", 1),
    HookPoint.ON_ALERT: ("last_alert", "tag_bad: oil"),
    HookPoint.ON_SCHEDULE: ("shift_pieces", 0),
}


def test_every_point_is_told_of() -> None:
    assert list(POINTS) == list(HookPoint)


@pytest.mark.parametrize("info", POINTS.values(), ids=lambda info: str(info.point))
async def test_the_example_of_each_point_runs(info: PointInfo) -> None:
    power = [TagSchema("power", ValueType.FLOAT32), TagSchema("oil", ValueType.FLOAT32),
             TagSchema("operator", ValueType.STRING)]  # fmt: skip
    more = [Schema.of("press2", "fast", None, power)]
    desk = await Desk.of(info.example, str(info.point), power, more=more)
    if info.point in CALLS:
        name, expected = MADE[info.point]
        assert good(await desk.call({"t": 1_000, "v": READ, **CALLS[info.point]}), name) == expected
        return
    row = {"power": 1.5, "oil": 25.0, "operator": "Kim"}
    shown = (await desk.run([{":": {"connection": "press2"}, **row}, row]))[-1]
    assert isinstance(shown, dict)
    if info.point is HookPoint.BEFORE_FORWARD:
        assert sorted(shown) == ["oil", "power"]
    elif info.point is HookPoint.TRANSFORM:
        assert good(shown, "oil_f") == 77.0
    else:
        assert good(shown, "power") == 3.0


CLASSES: dict[str, type] = {
    "Column": Column, "_Values": Account, "Frame": Frame, "_Happening": Happening, "Cycle": Cycle,
    "Link": Link, "Alert": Alert, "Tick": Tick,
}  # fmt: skip
# Names that the language takes of any object, and what the worker itself calls.
OWN = {"__init__", "__slots__", "__hash__", "__repr__", "__module__", "__doc__", "__bool__", "taint", "lack",
       "alone", "without_value", "end", "encoded", "__annotations__", "__static_attributes__",
       "__firstlineno__"}  # fmt: skip


def _of_class(kind: type) -> set[str]:
    found = {name for name in vars(kind) if not name.startswith("_") or name.startswith("__")}
    return found - OWN


@pytest.mark.parametrize("name", CLASSES)
def test_the_stubs_name_what_there_is(name: str) -> None:
    tree = ast.parse(stubs())
    told: dict[str, set[str]] = {}
    bases: dict[str, list[str]] = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            members = {part.name for part in node.body if isinstance(part, ast.FunctionDef)}
            members |= {part.target.id for part in node.body
                        if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name)}  # fmt: skip
            told[node.name] = members
            bases[node.name] = [base.id for base in node.bases if isinstance(base, ast.Name)]
    said = set(told[name])
    for base in bases[name]:
        said |= told[base] | {member for above in bases[base] for member in told[above]}
    there: set[str] = set()
    for kind in CLASSES[name].__mro__[:-1]:
        there |= _of_class(kind)
    # `_Values` is told of once; here each class has its own.
    common = told["_Values"] if name != "Column" else set()
    assert said - common == there - common


def test_the_stubs_have_all_that_can_be_imported() -> None:
    names = {getattr(node, "name", "") for node in ast.parse(stubs()).body}
    names |= {target.id for node in ast.parse(stubs()).body if isinstance(node, ast.Assign)
              for target in node.targets if isinstance(target, ast.Name)}  # fmt: skip
    assert set(MARKERS) <= names
