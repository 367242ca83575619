"""Whatever a centre sends for scripts ends as a refusal or as a set within all bounds."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.app.sent_scripts import judge_here
from edge_agent.hooks.signing import new_key, sign
from edge_agent.uplink.scripts import Rules
from edge_agent.wire.scripts import MAX_SCRIPTS, MAX_SOURCE_BYTES, HookPoint, Script


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


_SCALAR = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
_ANY = st.recursive(
    _SCALAR,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)
_VALID: dict[str, st.SearchStrategy[Any]] = {
    "name": st.sampled_from(["oil", "water", "own", "a-1"]),
    "hook_type": st.sampled_from([*HookPoint]),
    "source": st.just("x") | st.text(min_size=1, max_size=30) | st.just("é" * MAX_SOURCE_BYTES),
    "groups": st.lists(st.sampled_from(["*", "p.*", "p\n.*"]), max_size=2),
    "keep_raw": st.booleans(),
    "timeout_ms": st.none() | st.integers(-1, 70_000),
    "worker": st.sampled_from(["", "shared", "mine", "a\x00b"]),
    "schedule": st.sampled_from(["", "0 6 * * *", "0 0 30 2 *"]),
    "timezone": st.sampled_from(["UTC", "Asia/Seoul", "../../etc/passwd", ""]),
    "version": st.integers(-1, 3),
    "signatures": st.just([]) | st.just([{"key": "plant", "signature": "é"}]),
}
_SCRIPT = st.fixed_dictionaries(
    {name: value | _ANY for name, value in _VALID.items()}
) | st.fixed_dictionaries(
    {name: _VALID[name] for name in ("name", "source")},
    optional={name: _VALID[name] for name in ("groups", "worker", "schedule")},
).map(lambda script: {"hook_type": "transform", "version": 1, **script})
_BODY = (
    _ANY.map(_json)
    | st.binary(max_size=60)
    | st.lists(_SCRIPT, max_size=4).map(lambda scripts: _json({"scripts": scripts}))
)
RULES = Rules(managed=True, names=frozenset({"own"}), workers=frozenset({"mine"}))
_PRIVATE, _PUBLIC = new_key()
SIGNED = Rules(managed=True, keys={"plant": _PUBLIC})


@given(body=_BODY)
def test_what_is_let_through_is_within_all_bounds(body: bytes) -> None:
    found = judge_here(body, RULES)
    if found.problem:
        assert found.scripts == ()
        return
    names = [script.name for script in found.scripts]
    assert len(set(names)) == len(names) < MAX_SCRIPTS
    assert "own" not in names
    for script in found.scripts:
        assert script.version > 0
        assert len(script.source.encode()) <= MAX_SOURCE_BYTES
        assert script.worker != "mine"
        assert script.worker.isprintable()
        assert script.groups
        assert all(group.isprintable() for group in script.groups)
        assert bool(script.schedule) == (script.hook_type is HookPoint.ON_SCHEDULE)
        assert script.timeout_ms is None or 1 <= script.timeout_ms <= 60_000


@given(body=_BODY)
def test_nothing_that_nobody_signed_is_let_through_where_a_key_is_named(body: bytes) -> None:
    assert judge_here(body, SIGNED).scripts == ()


_BODY_SIGNED = sign(
    Script(name="oil", hook_type=HookPoint.TRANSFORM, source="x = 1\n", version=1), "plant", _PRIVATE
).model_dump(mode="json")


@given(
    changed=st.fixed_dictionaries(
        {},
        optional={
            name: value | _ANY for name, value in _VALID.items() if name not in ("version", "signatures")
        },
    )
)
def test_a_signature_is_good_for_the_very_script_that_it_was_made_of(changed: dict[str, Any]) -> None:
    found = judge_here(_json({"scripts": [{**_BODY_SIGNED, **changed}]}), SIGNED)
    signed = Script.model_validate(_BODY_SIGNED)
    assert all(script.canonical == signed.canonical for script in found.scripts)
    if not changed:
        assert found.scripts == (signed,)
