"""`edge-agent hook test --request -` as a program: one document each way, exit codes, and its end."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from edge_agent.wire.dry_run import DryRunAnswer

ROOT = Path(__file__).parents[3]
COMMAND = [sys.executable, "-m", "edge_agent", "hook", "test", "--request", "-", "--json"]
FRAME = {"connection": "press1", "group": "fast", "time": 1_767_225_600_000, "values": {"oil": 2.0}}


def request(body: str, **more: Any) -> str:
    source = f'OUTPUTS = {{"f": "float64"}}\ndef transform(frame):\n    {body}\n'
    script = {"name": "try", "hook_type": "transform", "source": source}
    return json.dumps({"script": script, "frames": [FRAME], **more})


def ask(text: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        COMMAND, input=text, cwd=ROOT, capture_output=True, text=True, check=False, timeout=40
    )


@pytest.mark.parametrize(
    ("text", "code"),
    [(request("frame['f'] = frame['oil'] * 2"), 0), (request("frame['f'] = 1 / 0"), 1)],
    ids=["good", "failed"],
)
def test_an_answer_is_one_line_and_the_exit_code_says_whether_it_is_well(text: str, code: int) -> None:
    done = ask(text)
    assert (done.returncode, done.stderr, done.stdout.count("\n")) == (code, "", 1)
    answer = DryRunAnswer.model_validate_json(done.stdout)
    assert answer.ok == (code == 0)


def test_what_is_no_request_has_no_answer_and_one_line_says_why() -> None:
    done = ask(request("pass", seconds=31))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "edge-agent: the request is not one: seconds: Input should be less than or equal to 30\n"
    )


def test_a_caller_that_kills_the_child_leaves_no_worker() -> None:
    text = request("for number in range(50_000):\n        number + 1", frames=[FRAME] * 1_000, repeat=1_000)
    child = subprocess.Popen(COMMAND, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        assert child.stdin is not None
        child.stdin.write(text)
        child.stdin.close()
        deadline = time.monotonic() + 30
        workers: list[psutil.Process] = []
        while not workers and child.poll() is None and time.monotonic() < deadline:
            workers = psutil.Process(child.pid).children()
        assert workers, "no worker was begun"
    finally:
        child.kill()
        child.wait()
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert not [each for each in alive if each.status() != psutil.STATUS_ZOMBIE]
