"""`check --sections` and `check --requests`: what a centre asks of the agent's rules."""

import io
import json
from pathlib import Path
from typing import Any

import pytest


def test_sections_are_judged_without_a_local_file(cli: Any, tmp_path: Path) -> None:
    path = tmp_path / "sections.json"
    path.write_text("{}")
    assert cli("check", "--sections", str(path), "--json") == 0
    assert json.loads(cli.out) == {"valid": True, "problems": [], "warnings": []}
    path.write_text('{"hoks": 1}')
    assert cli("check", "--sections", str(path)) == 2
    assert cli.out == "hoks: not known\nnot valid: 1 problem\n"


@pytest.mark.parametrize("text", ["[1]", "{", ""])
def test_what_is_no_object_of_sections_is_wrong_use(cli: Any, text: str) -> None:
    cli.stdin = io.StringIO(text)
    assert cli("check", "--sections", "-") == 2
    assert "JSON" in cli.err


def test_each_request_is_answered_with_one_line(cli: Any) -> None:
    requests = ({"sections": {"a": 1}}, {"tags": "b2ls", "file": "t.csv"}, {"config": "/e.yaml"})
    cli.stdin = io.StringIO("".join(f"{json.dumps(each)}\n" for each in requests))
    assert cli("check", "--requests") == 0
    first, second, third = (json.loads(line) for line in cli.out.splitlines())
    assert first["problems"] == [{"path": "a", "message": "not known"}]
    assert second["content"] == [{"name": "oil", "file": "t.csv"}]
    assert third["content"] == {"connections": ["/e.yaml"]}


@pytest.mark.parametrize("text", ["{}\n", "x\n", '{"sections": 1}\n'])
def test_what_is_no_request_ends_the_answers(cli: Any, text: str) -> None:
    cli.stdin = io.StringIO(text)
    assert cli("check", "--requests") == 2
