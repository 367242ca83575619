"""The agent itself as the child: a script that is saved and tried does what it will do on a device."""

from typing import Any

import orjson
import pytest

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


async def test_a_script_runs_on_what_a_device_sent_and_shows_values_prints_state_and_the_line_of_an_error(
    open_house: OpenHouse,
) -> None:
    async with open_house() as house:
        edge = Edge()
        await house.put_schema(edge)
        for first in (5, 10, 0):
            await house.post(edge, edge.upload(edge.make([first, 2, 3])))
        made = await house.ask("POST", SCRIPTS, "admin", orjson.dumps(body(source=PRINTS)))
        assert (made.status, made.json["warnings"]) == (201, [])
        found = await ask(house, saved={"script": made.json["id"]}, data={"device": "dev-1"})
        values = [each["after"]["f"]["value"] for each in found["outputs"][:2]]
        assert values == pytest.approx([2.0, 1.0])
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
        script = body(
            hook_type="on_schedule", source="def on_schedule(tick):\n    pass\n", schedule="0 6 * * *",
            timezone="Mars/Base",
        )  # fmt: skip
        answer = await house.ask("POST", SCRIPTS, "admin", orjson.dumps(script))
        assert (answer.status, "Mars/Base" in answer.json["detail"]) == (400, True), answer.body


async def test_the_example_of_a_type_of_hook_runs_on_a_call(open_house: OpenHouse) -> None:
    """That the examples of all types run in a worker: tests/unit/hooks/worker/test_points.py."""
    async with open_house() as house:
        types = (await house.get(f"{SCRIPTS}/hook-types"))["items"]
        assert [each["name"] for each in types] == list(HookPoint)
        (alert,) = [each for each in types if each["name"] == "on_alert"]
        assert alert["input"].startswith("alert: Alert; ")
        call = {"code": "buffer_full", "message": "m", "time": T0}
        found = await ask(house, script=body(hook_type="on_alert", source=alert["example"]), calls=[call])
        assert found["ok"], found["error"]
        (shown,) = found["outputs"]
        assert shown["after"]["last_alert"]["value"] == "buffer_full: m"
