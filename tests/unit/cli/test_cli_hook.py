"""hook keygen, sign and verify, with real keys and files; scripts are tried in test_hook_test.py."""

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from edge_agent import app as real_app
from edge_agent.hooks import signing
from edge_agent.wire.scripts import HookPoint, Script

SOURCE = "def transform(frame, state):\n    pass\n"
CONFIG = """
agent: {{id: a}}
hooks:
  require_signature: {{plant: "{public}"}}
  scripts:
    - {{name: oil, point: transform, file: oil.py, groups: ["press1.*"], timeout: 50ms}}
"""


@pytest.fixture
def real(cli: Any, tmp_path: Path) -> Any:
    """The command line with the agent's own functions, in a directory with a script."""
    cli.app = real_app
    (tmp_path / "oil.py").write_text(SOURCE)
    return cli


def test_a_script_is_signed_with_a_new_key_and_verified_with_the_configs(real: Any, tmp_path: Path) -> None:
    assert real("hook", "keygen", "plant.pem", "--name", "plant") == 0
    public = real.out.split("plant: ")[1].strip()
    assert public == signing.public_key((tmp_path / "plant.pem").read_bytes())
    assert stat.S_IMODE((tmp_path / "plant.pem").stat().st_mode) == 0o600
    (tmp_path / "edge-agent.yaml").write_text(CONFIG.format(public=public))
    assert real("hook", "sign", "oil.py", "-c", "edge-agent.yaml", "--key", "plant.pem", "--as", "plant",
                "--out", "oil.json") == 0  # fmt: skip
    script = Script.model_validate_json((tmp_path / "oil.json").read_bytes())
    # The settings are those that the config has for this file, and are signed with it.
    assert (script.name, script.groups, script.timeout_ms) == ("oil", ["press1.*"], 50)
    assert (real.out, real.err) == (
        "",
        f"edge-agent: {script.mark} with the signature of plant is in oil.json\n",
    )
    assert real("hook", "verify", "oil.json", "-c", "edge-agent.yaml") == 0
    assert real.out == f"✓ {script.mark}: signed by plant\n"
    changed = script.model_copy(update={"groups": ["*"]})
    (tmp_path / "oil.json").write_bytes(changed.model_dump_json().encode())
    assert real("hook", "verify", "oil.json", "-c", "edge-agent.yaml", "--json") == 1
    assert json.loads(real.out) == {
        "script": changed.mark, "signed_by": None, "signatures": ["plant"], "keys": ["plant"],
    }  # fmt: skip
    assert real("hook", "verify", "oil.json", "--key", f"plant={public}") == 1
    assert real.out == f"✗ {changed.mark}: signed by plant; what counts: plant\n"


def test_a_key_is_never_written_over_another(real: Any, tmp_path: Path) -> None:
    (tmp_path / "plant.pem").write_text("precious")
    assert real("hook", "keygen", "plant.pem") == 2
    assert real.err == "edge-agent: plant.pem: File exists\n"
    assert (tmp_path / "plant.pem").read_text() == "precious"


def test_a_key_under_a_passphrase_signs_with_it(real: Any, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("correct horse\nsecond line\n")
    (tmp_path / "empty").write_text("\n")
    assert real("hook", "keygen", "k.pem", "--passphrase-file", "secret", "--json") == 0
    public = json.loads(real.out)["public"]
    sign = ("hook", "sign", "oil.py", "--key", "k.pem", "--as", "plant")
    assert real(*sign) == 2
    assert "under a passphrase: give --passphrase-file FILE" in real.err
    assert real(*sign, "--passphrase-file", "empty") == 2
    assert real.err == "edge-agent: empty: its first line is empty\n"
    assert real(*sign, "--passphrase-file", "secret") == 0
    (tmp_path / "oil.json").write_text(real.out)
    assert real("hook", "verify", "oil.json", "--key", f"plant={public}", "--json") == 0
    assert json.loads(real.out)["signed_by"] == "plant"


def test_settings_on_the_line_are_those_of_the_config(real: Any, tmp_path: Path) -> None:
    (tmp_path / "Shift totals.py").write_text("def on_schedule(tick):\n    pass\n")
    assert real("hook", "keygen", "k.pem") == 0
    sign = ("hook", "sign", "--key", "k.pem", "--as", "plant")
    assert real(*sign, "Shift totals.py", "--schedule", "0 6 * * *", "--timezone", "Asia/Seoul",
                "--timeout", "20ms", "--worker", "w", "--groups", "a.*", "--groups", "b.c") == 0  # fmt: skip
    script = Script.model_validate_json(real.out)
    assert (script.name, script.hook_type, script.schedule) == (
        "shift-totals",
        HookPoint.ON_SCHEDULE,
        "0 6 * * *",
    )
    assert (script.timezone, script.timeout_ms, script.worker) == ("Asia/Seoul", 20, "w")
    assert script.groups == ["a.*", "b.c"]
    assert real(*sign, "oil.py", "--keep-raw", "--on-failure", "withhold", "--name", "x") == 0
    script = Script.model_validate_json(real.out)
    assert (script.name, script.keep_raw, script.on_failure) == ("x", True, "withhold")


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (("oil.py", "--schedule", "* * * * *"), "oil.py: settings: a schedule belongs to point on_schedule"),
        (("oil.py", "--name", "A b"), "oil.py: name: String should match pattern"),
        (("oil.py", "--timeout", "soon"), "oil.py: timeout: "),
        (("cron.py", "--schedule", "61 * * * *"), "cron.py: '61 * * * *' is no schedule: "),
        (("cron.py", "--schedule", "0 0 * * *", "--timezone", "Mars/Base"), "no time zone 'Mars/Base'"),
        (("both.py",), "both.py: defines transform and on_cycle: say which with --point"),
        (("none.py",), "none.py: defines no function that is called like a hook point: "),
        (("empty.py",), "empty.py: cannot be read: it is empty"),
        (("long.py",), "long.py: is longer than 64 KiB"),
        (("gone.py",), "gone.py: cannot be read: No such file or directory"),
        (("bad.json",), "bad.json: source: Field required"),
        ((), "name one script: FILE, or --hook NAME of the config"),
        (("oil.py", "--hook", "oil"), "name one script: FILE, or --hook NAME of the config"),
        (("--hook", "oil", "-c", "none.yaml"), "none.yaml"),
        (("--hook", "gas", "-c", "edge-agent.yaml"), "no script gas in hooks.scripts; there are: oil"),
        (("--hook", "oil", "-c", "edge-agent.yaml", "--name", "x"), "leave FILE and the settings out"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)  # fmt: skip
def test_what_is_no_script_is_one_line_and_exit_code_2(
    real: Any, tmp_path: Path, argv: tuple[str, ...], text: str
) -> None:
    (tmp_path / "cron.py").write_text("def on_schedule(tick):\n    pass\n")
    (tmp_path / "both.py").write_text(SOURCE + "def on_cycle(cycle):\n    pass\n")
    (tmp_path / "none.py").write_text("x = 1\n")
    (tmp_path / "empty.py").write_text("")
    (tmp_path / "long.py").write_text(SOURCE + "#" * (64 << 10))
    (tmp_path / "bad.json").write_text('{"name": "x", "hook_type": "transform"}')
    (tmp_path / "edge-agent.yaml").write_text(CONFIG.format(public=signing.new_key()[1]))
    assert real("hook", "keygen", "k.pem") == 0
    assert real("hook", "sign", *argv, "--key", "k.pem", "--as", "plant") == 2
    assert text in real.err
    assert (real.out, real.err.count("\n")) == ("", 1)


def test_verify_says_what_it_was_given_wrong(real: Any, tmp_path: Path) -> None:
    public = signing.new_key()[1]
    script = Script(name="oil", hook_type=HookPoint.TRANSFORM, source=SOURCE)
    (tmp_path / "oil.json").write_bytes(script.model_dump_json().encode())
    assert real("hook", "verify", "oil.json", "--key", f"plant={public}") == 1
    assert "signed by nobody; what counts: plant" in real.out
    assert real("hook", "verify", "oil.json", "--key", public) == 2
    assert "write NAME=ed25519:…" in real.err
    assert real("hook", "verify", "oil.json", "--key", f"a={public}", "-c", "x.yaml") == 2
    assert "exclude each other" in real.err
    assert real("hook", "verify", "oil.json", "--key", "plant=ed25519:AAAA") == 2
    assert "public key plant is not ed25519:" in real.err
    # Nothing is required: no signature counts.
    (tmp_path / "edge-agent.yaml").write_text("agent: {id: a}\n")
    assert real("hook", "verify", "oil.json") == 1
    assert "no key: hooks.require_signature is empty" in real.out


def test_a_private_key_is_private_whatever_the_umask(real: Any, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        assert real("hook", "keygen", "k.pem") == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "k.pem").stat().st_mode) == 0o600


def test_points_are_told_with_an_example_of_each(real: Any, tmp_path: Path) -> None:
    assert real("hook", "points") == 0
    assert real.out.startswith("def on_connect(link: Link, state: State) -> None\n  when: ")
    assert real("hook", "points", "--json") == 0
    found = {each["point"]: each for each in json.loads(real.out)}
    assert set(found) == set(HookPoint)
    assert real("hook", "points", "transform", "--json") == 0
    assert json.loads(real.out) == [found["transform"]]


def test_stubs_are_written_for_editors_and_again_over_older_ones(real: Any, tmp_path: Path) -> None:
    (tmp_path / "holdfast_hooks.pyi").write_text("older")
    assert real("hook", "stubs", ".", "--json") == 0
    assert json.loads(real.out) == {"path": "holdfast_hooks.pyi"}
    assert "class Frame" in (tmp_path / "holdfast_hooks.pyi").read_text()
    assert real("hook", "stubs", "nowhere") == 2
    assert "nowhere" in real.err
