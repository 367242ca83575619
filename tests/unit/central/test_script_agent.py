"""The agent itself as the child: a script that is saved and tried does what it will do on a device."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import orjson
import pytest

from central_sync.services.scripts.hook_types import HookType, hook_types
from edge_agent.wire.scripts import HookPoint
from tests.unit.central.conftest import House, OpenHouse
from tests.unit.central.edge import T0, Edge
from tests.unit.central.test_script_dry_run import DRY_RUN
from tests.unit.central.test_scripts import SCRIPTS, SOURCE, body

PRINTS = 'OUTPUTS = {"f": "float32"}\n\n\ndef transform(frame, state):\n    state["n"] = state.get("n", 0) + 1\n    print("frame", state["n"])\n    frame["f"] = 1 / frame["t0"]\n'  # noqa: E501


async def ask(house: House, **asked: Any) -> Any:
    answer = await house.ask("POST", DRY_RUN, "admin", orjson.dumps(asked))
    assert answer.status == 200, answer.body
    return answer.json


Asked = Callable[..., Awaitable[Any]]


@pytest.fixture
async def asked(open_house: OpenHouse) -> AsyncIterator[Asked]:
    async with open_house() as house:
        yield lambda **given: ask(house, **given)


async def test_a_script_runs_on_what_a_device_sent_and_shows_values_prints_state_and_the_line_of_an_error(
    open_house: OpenHouse,
) -> None:
    async with open_house() as house:
        edge = Edge()
        await house.put_schema(edge)
        for first in (5, 10, 0):
            await house.post(edge, edge.upload(edge.make([first, 2, 3])))
        found = await ask(house, script=body(source=PRINTS), data={"device": "dev-1"})
        made = [each["after"]["f"]["value"] for each in found["outputs"][:2]]
        assert made == pytest.approx([2.0, 1.0])
        assert (found["ok"], found["error"]["kind"], found["error"]["line"]) == (False, "failed", 7)
        assert "ZeroDivisionError" in found["error"]["type"]
        assert "frame 2" in found["outputs"][1]["prints"]
        # The state is as it was before the frame that failed.
        assert found["state"] == {"n": 2}
        assert found["outputs"][2]["after"]["t0"]["quality"] == "bad_hook"
        assert found["milliseconds"]["calls"] == 3


async def test_a_script_without_end_ends_and_says_so(open_house: OpenHouse) -> None:
    async with open_house() as house:
        endless = "def transform(frame):\n    while True:\n        pass\n"
        frame = {"connection": "a", "group": "b", "time": 1, "values": {"t0": 1}}
        found = await ask(house, script=body(source=endless, timeout_ms=50), frames=[frame], seconds=2)
        assert (found["ok"], found["error"]["kind"]) == (False, "killed")


async def test_a_script_that_no_worker_compiles_is_not_saved(open_house: OpenHouse) -> None:
    async with open_house() as house:
        bad = SOURCE.replace("def transform(frame):", "def transform(frame)")
        answer = await house.ask("POST", SCRIPTS, "admin", orjson.dumps(body(source=bad)))
        assert (answer.status, answer.json["code"]) == (400, "bad_script")
        assert (answer.json["problems"][0]["line"], "line 4" in answer.json["detail"]) == (4, True)
        for settings, why in (
            ({"schedule": "bananas"}, "is no schedule"),
            ({"schedule": "0 6 * * *", "timezone": "Mars/Base"}, "Mars/Base"),
        ):
            script = body(hook_type="on_schedule", source="def on_schedule(tick):\n    pass\n", **settings)
            answer = await house.ask("POST", SCRIPTS, "admin", orjson.dumps(script))
            assert (answer.status, why in answer.json["detail"]) == (400, True), answer.body
        good = await house.ask("POST", SCRIPTS, "admin", orjson.dumps(body()))
        assert (good.status, good.json["warnings"]) == (201, [])


@pytest.mark.parametrize("kind", hook_types().items, ids=lambda kind: str(kind.name))
async def test_the_example_of_each_type_of_hook_runs(kind: HookType, asked: Asked) -> None:
    """With a frame where it is given frames, and with one call where it is not."""
    frame = {"connection": "press1", "group": "fast", "time": T0, "values": {"oil_temp": 20, "operator": "x"}}
    call = {"connection": "press1", "state": "offline", "code": "buffer_full", "message": "m", "time": T0}
    script = body(
        hook_type=kind.name, source=kind.example, schedule="0 6 * * *" if kind.scheduled else "",
        groups=["press1.*"],
    )  # fmt: skip
    by_call = kind.name in ("on_connect", "on_alert", "on_schedule")
    found = await asked(script=script, frames=[frame], calls=[call] if by_call else [])
    assert found["ok"], found["error"]
    shown = [each for each in found["outputs"] if each["milliseconds"] is not None]
    assert any(each["made"] or each["dropped"] for each in shown), found["outputs"]


def test_there_is_a_text_for_each_type_of_hook_and_no_other() -> None:
    assert [kind.name for kind in hook_types().items] == list(HookPoint)
