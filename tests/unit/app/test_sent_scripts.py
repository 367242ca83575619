"""What a gateway's own file says of the centre's scripts, and signatures that are checked in a child."""

import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from edge_agent.app.compiled import Compiled, compile_file
from edge_agent.app.sent_scripts import judge_here, judge_in_child, rules_of
from edge_agent.config.errors import ChildFailed
from edge_agent.hooks.signing import new_key, sign
from edge_agent.uplink.scripts import Rules
from edge_agent.wire.scripts import HookPoint, OnFailure, Script, ScriptSet

SOURCE = "def transform(frame):\n    pass\n"


def compiled(directory: Path, **sections: Any) -> Compiled:
    path = directory / "edge-agent.yaml"
    path.write_text(yaml.safe_dump({"agent": {"id": "d"}, "connections": [], **sections}))
    return compile_file(path)


def body(*scripts: Script) -> bytes:
    return orjson.dumps(ScriptSet(scripts=list(scripts)).model_dump(mode="json"))


def a_script(name: str = "oil", **settings: Any) -> Script:
    fields = {"name": name, "hook_type": HookPoint.TRANSFORM, "source": SOURCE, "version": 1, **settings}
    return Script.model_validate(fields)


def test_a_file_without_a_word_about_scripts_lets_no_centre_send_any(tmp_path: Path) -> None:
    assert rules_of(compiled(tmp_path)) == Rules()


def test_keys_names_and_workers_are_those_of_the_local_file(tmp_path: Path) -> None:
    own = {"name": "own", "point": "transform", "source": SOURCE}
    hooks = {
        "require_signature": {"plant": new_key()[1]},
        "scripts": [{**own, "worker": "shared"}, {**own, "name": "alone"}],
    }
    found = rules_of(compiled(tmp_path, remote={"manage": ["hooks"]}, hooks=hooks))
    assert found.managed
    assert list(found.keys) == ["plant"]
    assert (sorted(found.names), sorted(found.workers)) == (["alone", "own"], ["shared"])
    assert not found.has_hooks_connection


def test_a_connection_called_hooks_is_seen(tmp_path: Path) -> None:
    tags = [{"name": "t", "address": "holding:0"}]
    connection = {
        "name": "hooks", "driver": "modbus", "transport": {"type": "tcp", "host": "127.0.0.1"},
        "groups": [{"name": "g", "interval": "1s", "tags": tags}],
    }  # fmt: skip
    assert rules_of(compiled(tmp_path, connections=[connection])).has_hooks_connection


def test_what_a_named_key_signed_runs_and_nothing_else_does() -> None:
    pem, public = new_key()
    rules = Rules(managed=True, keys={"plant": public})
    signed = sign(a_script(), "plant", pem)
    assert judge_here(body(signed), rules).scripts == (signed,)
    others = [
        (a_script(), "oil is not signed"),
        (sign(a_script(), "stranger", pem), "oil is signed by stranger alone"),
        (sign(a_script(), "plant", new_key()[0]), "does not fit"),
        (signed.model_copy(update={"source": SOURCE + "#"}), "does not fit"),
        (signed.model_copy(update={"groups": ["other.*"]}), "does not fit"),
        (signed.model_copy(update={"name": "water"}), "does not fit"),
        (signed.model_copy(update={"timeout_ms": 60_000}), "does not fit"),
        (signed.model_copy(update={"on_failure": OnFailure.WITHHOLD}), "does not fit"),
    ]
    for script, problem in others:
        judged = judge_here(body(script), rules)
        assert judged.scripts == ()
        assert problem in judged.problem


def test_a_key_that_is_none_refuses_what_it_should_have_signed_and_says_so() -> None:
    signed = sign(a_script(), "plant", new_key()[0])
    judged = judge_here(body(signed), Rules(managed=True, keys={"plant": "ed25519:AAAA"}))
    assert "the public key plant is not" in judged.problem


async def test_a_child_judges_as_this_process_would() -> None:
    pem, public = new_key()
    rules = Rules(managed=True, keys={"plant": public})
    sent = body(sign(a_script(), "plant", pem))
    assert await judge_in_child(sent, rules, is_known=False) == judge_here(sent, rules)
    assert (await judge_in_child(b"[]", rules, is_known=False)).problem.startswith("what the centre sent")


async def test_what_was_judged_before_is_judged_here_where_there_is_no_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    pem, public = new_key()
    signed = sign(a_script(), "plant", pem)
    for rules in (Rules(managed=True), Rules(managed=True, keys={"plant": public})):
        assert (await judge_in_child(body(signed), rules, is_known=True)).scripts == (signed,)
        with pytest.raises(ChildFailed):
            await judge_in_child(body(signed), rules, is_known=False)
