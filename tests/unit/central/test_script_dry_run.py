"""Trying scripts: what the child is asked, on which samples, and what becomes of children that misbehave."""

import asyncio
import os
from pathlib import Path
from typing import Any

import orjson
import pytest

from central_sync.dry_runner import CHILDREN, MAX_WAITING, AgentTester
from central_sync.services.errors import Busy, Invalid, Refusal
from central_sync.services.scripts.dry_run import MAX_OF_ONE
from edge_agent.wire.batch import FramesPart
from edge_agent.wire.dry_run import MAX_ANSWER_BYTES, DryRun
from edge_agent.wire.quality import Quality, QualityRun
from tests.unit.central.conftest import House, OpenHouse
from tests.unit.central.edge import T0, Edge, frame, uint16_schema
from tests.unit.central.fake_agent import TAKES_ALL, fake_agent
from tests.unit.central.hands import give_token, label, meet
from tests.unit.central.test_scripts import SCRIPTS, body

DRY_RUN = f"{SCRIPTS}/dry-run"
# Answers with what it was asked, as what the script printed.
ECHO = 'import json\nprint(json.dumps({"ok": True, "prints": request.decode()[:19000]}))\n'


async def ask(house: House, who: str = "admin", **asked: Any) -> Any:
    return await house.ask("POST", DRY_RUN, who, orjson.dumps(asked))


async def asked_of_child(house: House, **asked: Any) -> tuple[Any, DryRun]:
    answer = await ask(house, **asked)
    assert answer.status == 200, answer.body
    return answer.json, DryRun.model_validate_json(answer.json["prints"])


async def test_given_frames_reach_the_child_as_they_are(open_house: OpenHouse, tmp_path: Path) -> None:
    async with open_house(agent_command=fake_agent(tmp_path, ECHO)) as house:
        given = {"connection": "press1", "group": "fast", "time": T0, "values": {"t0": 5}, "quality": {}}
        answer, request = await asked_of_child(
            house, script=body(timeout_ms=50), frames=[given], state={"n": 1}, seconds=2
        )
        assert [each.model_dump() for each in request.frames] == [given]
        assert (request.script.timeout_ms, request.state, request.seconds) == (50, {"n": 1}, 2.0)
        assert answer["input"] == {"device": None, "frames": 1, "start": T0, "end": T0, "made_by": []}


async def test_a_saved_script_is_tried_on_what_a_device_sent_last(
    open_house: OpenHouse, tmp_path: Path
) -> None:
    async with open_house(agent_command=fake_agent(tmp_path, ECHO)) as house:
        edge = Edge()
        await house.put_schema(edge)
        marked = (QualityRun(1, 1, Quality.BAD_COMM, True),)
        for values in ([1, 2, 3], [4, 5, 6], [7, 8, 9]):
            edge.n += 1
            part = FramesPart(edge.schema, [frame(edge.n, values, quality=marked)])
            await house.post(edge, edge.upload(edge.seal([part])))
        made = await house.ask("POST", SCRIPTS, "admin", orjson.dumps(body(groups=["press1.*"])))
        saved = {"script": made.json["id"]}
        answer, request = await asked_of_child(house, saved=saved, data={"device": "dev-1", "last": 2})
        assert [each.values["t0"] for each in request.frames] == pytest.approx([0.4, 0.7])
        assert [each.values["t1"] for each in request.frames] == [None, None]
        assert request.frames[0].quality == {"t1": "bad_comm"}
        assert request.schemas == [orjson.loads(edge.schema.canonical)]
        assert (answer["input"]["device"], answer["input"]["frames"]) == ("dev-1", 2)
        nothing = await ask(house, saved=saved, data={"device": "dev-1", "groups": ["press2.*"]})
        assert (nothing.status, nothing.json["code"]) == (404, "no_data")


async def test_frames_of_several_groups_come_in_the_order_of_time_with_a_schema_each(
    open_house: OpenHouse, tmp_path: Path
) -> None:
    async with open_house(agent_command=fake_agent(tmp_path, ECHO)) as house:
        one = Edge()
        other = Edge(epoch="epoch-b", no=2, schema=uint16_schema("press2", "slow"))
        for edge in (one, other):
            await house.put_schema(edge)
        for edge in (one, other, one, other):
            await house.post(edge, edge.upload(edge.make()))
        _, request = await asked_of_child(house, script=body(), data={"device": "dev-1", "last": 3})
        assert [each.time for each in request.frames] == sorted(each.time for each in request.frames)
        assert len(request.frames) == 3
        assert {schema["connection"] for schema in request.schemas} == {"press1", "press2"}


@pytest.mark.parametrize(
    ("kind", "seen"),
    [("transform", {"press1"}), ("on_cycle", {"press1", "press2"}), ("before_forward", {"press1", "hooks"})],
)
async def test_a_script_is_tried_on_the_frames_that_it_would_see(
    open_house: OpenHouse, tmp_path: Path, kind: str, seen: set[str]
) -> None:
    async with open_house(agent_command=fake_agent(tmp_path, ECHO)) as house:
        for number, connection in enumerate(("press1", "press2", "hooks"), 1):
            edge = Edge(epoch=f"epoch-{number}", no=number, schema=uint16_schema(connection, "oil"))
            await house.put_schema(edge)
            await house.post(edge, edge.upload(edge.make()))
        script = body(hook_type=kind, groups=["press1.*", "hooks.*"])
        _, request = await asked_of_child(house, script=script, data={"device": "dev-1"})
        assert {frame.connection for frame in request.frames} == seen


async def test_foreign_devices_and_scripts_cannot_be_tried_on(open_house: OpenHouse, tmp_path: Path) -> None:
    async with open_house(agent_command=fake_agent(tmp_path, TAKES_ALL)) as house:
        await meet(house)
        await label(house, "dev-1", site="north")
        await give_token(house, "limited", "engineer", site="north")
        foreign = await ask(house, "limited", script=body(), data={"device": "dev-2"})
        assert (foreign.status, foreign.json["code"]) == (404, "unknown_device")
        own = await ask(house, "limited", script=body(), data={"device": "dev-1"})
        assert own.json["code"] == "no_data"
        made = await house.ask("POST", SCRIPTS, "admin", orjson.dumps(body()))
        hidden = await ask(house, "limited", saved={"script": made.json["id"]})
        assert (hidden.status, hidden.json["code"]) == (404, "unknown_script")
        for who in ("viewer", "operator"):
            assert (await ask(house, who, script=body())).status == 403


async def test_what_is_no_answer_is_nobodys_but_the_agents_fault(
    open_house: OpenHouse, tmp_path: Path
) -> None:
    async with open_house(agent_command=fake_agent(tmp_path, 'print("hello")\n')) as house:
        answer = await ask(house, script=body())
        assert (answer.status, answer.json["code"]) == (503, "tester_failed")


@pytest.mark.parametrize(
    "asked",
    [
        {}, {"script": body(), "saved": {"script": "sc-1"}},
        {"script": body(), "data": {"device": "dev-1"}, "frames": [
            {"connection": "a", "group": "b", "time": 1, "values": {}},
        ]},
        {"script": body(), "schemas": [{"tags": [[] for _ in range(60_000)]}]},
        {"script": body(), "seconds": 11}, {"script": body(), "repeat": 0}, {"script": body(), "extra": 1},
    ],
)  # fmt: skip
async def test_a_request_says_one_script_and_bounded_samples(
    open_house: OpenHouse, tmp_path: Path, asked: dict[str, Any]
) -> None:
    async with open_house(agent_command=fake_agent(tmp_path, TAKES_ALL)) as house:
        answer = await ask(house, **asked)
        assert (answer.status, answer.json["code"]) == (400, "bad_body")


async def test_one_person_tries_few_scripts_at_a_time_and_leaves_room_for_others(
    open_house: OpenHouse, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    then = f"import time\nwhile not os.path.exists({str(gate)!r}):\n    time.sleep(0.01)\n{TAKES_ALL}"
    async with open_house(agent_command=fake_agent(tmp_path, then)) as house:
        await meet(house)
        await give_token(house, "other", "engineer")
        asking = [asyncio.ensure_future(ask(house, script=body())) for _ in range(MAX_OF_ONE + 1)]
        (busy,), waiting = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
        assert (busy.result().status, busy.result().json["code"]) == (503, "tester_busy")
        others = asyncio.ensure_future(ask(house, "other", script=body()))
        gate.touch()
        assert [(await each).status for each in [*waiting, others]] == [200] * (MAX_OF_ONE + 1)
        # What has ended counts no more.
        assert [(await ask(house, script=body())).status for _ in range(MAX_OF_ONE + 1)][-1] == 200


# --- children ---------------------------------------------------------------------------------------


async def refused(folder: Path, then: str, seconds: float = 5.0) -> Refusal:
    tester = AgentTester(fake_agent(folder, then), start_seconds=seconds)
    with pytest.raises((Busy, Invalid)) as caught:
        await tester.ask(b"{}", 0.0)
    return caught.value


async def test_a_child_sees_nothing_of_the_centres_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOLDFAST_SECRET", "hf_secret")
    tester = AgentTester(fake_agent(tmp_path, 'print(",".join(sorted(os.environ)))\n'))
    found = (await tester.ask(b"{}", 5.0)).decode().strip().split(",")
    # What interpreters set for themselves.
    assert set(found) <= {"PYTHONPATH", "LC_CTYPE"}


async def test_a_child_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    found = await refused(tmp_path, "import time\ntime.sleep(600)\n", seconds=0.3)
    assert (type(found), found.code) == (Busy, "tester_failed")
    assert "longer than 0.3 s" in found.detail


async def test_a_child_that_is_given_up_is_ended_with_what_it_started(tmp_path: Path) -> None:
    ready = tmp_path / "pid"
    then = (
        "import subprocess, time\n"
        "child = subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(ready)!r} + '.new', 'w').write(str(child.pid))\n"
        f"os.rename({str(ready)!r} + '.new', {str(ready)!r})\n"
        "time.sleep(600)\n"
    )
    asking = asyncio.ensure_future(AgentTester(fake_agent(tmp_path, then)).ask(b"{}", 60.0))
    async with asyncio.timeout(30):
        while not ready.exists():
            await asyncio.sleep(0.01)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    # It may still be a zombie of the machine's first process.
    status = Path(f"/proc/{ready.read_text()}/stat")
    async with asyncio.timeout(30):
        while status.exists() and status.read_text().rpartition(")")[2].split()[0] not in "ZX":
            await asyncio.sleep(0.01)


async def test_an_answer_without_end_is_cut_off(tmp_path: Path) -> None:
    then = 'while True:\n    sys.stdout.buffer.write(b"x" * 65536)\n'
    found = await refused(tmp_path, then, seconds=30.0)
    assert (found.code, found.detail) == ("tester_failed", "the agent answered with too much")
    assert MAX_ANSWER_BYTES < 1 << 24


@pytest.mark.parametrize(
    ("then", "kind", "code"),
    [
        ('print("edge-agent: no request", file=sys.stderr)\nsys.exit(2)\n', Invalid, "bad_body"),
        ('print("needs pip install", file=sys.stderr)\nsys.exit(3)\n', Busy, "no_sandbox"),
        ("sys.exit(0)\n", Busy, "tester_failed"),
        ("os.kill(os.getpid(), 9)\n", Busy, "tester_failed"),
    ],
    ids=["no request", "cannot", "says nothing", "killed"],
)
async def test_how_a_child_ends_says_what_the_caller_must_do(
    tmp_path: Path, then: str, kind: type[Refusal], code: str
) -> None:
    found = await refused(tmp_path, then)
    assert (type(found), found.code) == (kind, code)


async def test_a_command_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Busy, match="nowhere") as caught:
        await AgentTester([str(tmp_path / "nowhere")]).ask(b"{}", 1.0)
    assert caught.value.code == "no_tester"


async def test_few_children_run_at_a_time_and_few_requests_wait(tmp_path: Path) -> None:
    gate, count = tmp_path / "gate", tmp_path / "count"
    count.mkdir()
    os.mkfifo(gate)
    then = (
        f"open({str(count)!r} + '/' + str(os.getpid()), 'w').close()\n"
        f"open({str(gate)!r}).read()\nprint('{{}}')\n"
    )
    tester = AgentTester(fake_agent(tmp_path, then), start_seconds=30.0)
    asking = [asyncio.ensure_future(tester.ask(b"{}", 1.0)) for _ in range(CHILDREN + MAX_WAITING + 1)]
    done, _ = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
    (busy,) = done
    with pytest.raises(Busy) as caught:
        busy.result()
    assert caught.value.code == "tester_busy"
    async with asyncio.timeout(20):
        while len(list(count.iterdir())) < CHILDREN:
            await asyncio.sleep(0.01)
    assert len(list(count.iterdir())) == CHILDREN
    for each in asking:
        each.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
