"""The site's scripts as a load reads them: whole, in order, and each mistake at its place."""

import pickle
from pathlib import Path

import pytest
import yaml

from edge_agent.config.diff import diff
from edge_agent.config.errors import ConfigErrors
from edge_agent.config.remote import merge_remote
from edge_agent.config.scripts import lacking_library
from edge_agent.wire.messages import ConfigEnvelope
from edge_agent.wire.scripts import MAX_SOURCE_BYTES, HookPoint
from tests.unit.config.conftest import DOCUMENT, ErrorsOf, LoadText
from tests.unit.config.sample_driver import lookup

SOURCE = "OUTPUTS = {}\ndef transform(frame):\n    pass\n"


def hooks(*items: str) -> str:
    return DOCUMENT + "hooks:\n  scripts:\n" + "".join(f"    - {item}\n" for item in items)


def test_a_script_is_its_file_and_its_settings(load_text: LoadText) -> None:
    text = hooks(
        "{name: oil, point: transform, file: hooks/oil.py, groups: [press1.*], keep_raw: true, timeout: 80ms}"
    )
    loaded = load_text(text, files={"hooks/oil.py": SOURCE})
    (local,) = loaded.scripts
    assert (local.script.name, local.script.hook_type, local.script.source) == (
        "oil", HookPoint.TRANSFORM, SOURCE,
    )  # fmt: skip
    assert (local.script.groups, local.script.keep_raw, local.script.timeout_ms) == (["press1.*"], True, 80)
    assert loaded.files[-1] == Path("hooks/oil.py")
    assert str(local.problem("bad name 'x'", 2)) == "hooks/oil.py:2: hooks.scripts[oil]: bad name 'x'"
    assert pickle.loads(pickle.dumps(loaded)).scripts == loaded.scripts


def test_a_script_in_the_config_itself(load_text: LoadText) -> None:
    text = DOCUMENT + "hooks:\n  scripts:\n    - name: oil\n      point: transform\n      source: |\n"
    loaded = load_text(text + "".join(f"        {line}\n" for line in SOURCE.splitlines()))
    (local,) = loaded.scripts
    assert local.script.source == SOURCE
    problem = str(local.problem("bad name 'x'", 2))
    assert problem == "config.yaml:14:15: hooks.scripts[oil].source: line 2: bad name 'x'"


@pytest.mark.parametrize(
    ("item", "error"),
    [
        ("{name: oil, point: transform, file: none.py}",
         "12:43: hooks.scripts[oil].file: none.py cannot be read: No such file or directory"),
        ("{name: oil, point: transform, file: empty.py}",
         "12:43: hooks.scripts[oil].file: empty.py cannot be read: it is empty"),
        ("{name: oil, point: transform, file: .}",
         "12:43: hooks.scripts[oil].file: . cannot be read: it is no file"),
        ("{name: oil, point: transform, file: long.py}",
         "12:43: hooks.scripts[oil].file: is longer than 64 KiB"),
        ("{name: oil, point: on_schedule, source: x, schedule: daily}",
         "12:60: hooks.scripts[oil].schedule: 'daily' is no schedule: it needs minute, hour, day of month, "
         "month and day of week"),
        ("{name: oil, point: on_schedule, source: x, schedule: 61 * * * *}",
         "12:60: hooks.scripts[oil].schedule: '61 * * * *' is no schedule: Bad minute"),
        ("{name: oil, point: on_schedule, source: x, schedule: 0 6 * * *, timezone: Asia/Soul}",
         "12:81: hooks.scripts[oil].timezone: there is no time zone 'Asia/Soul' on this machine"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_told_with_its_place(errors_of: ErrorsOf, item: str, error: str) -> None:
    files = {"empty.py": " \n", "long.py": "#" * (MAX_SOURCE_BYTES + 1)}
    assert errors_of(hooks(item), files=files) == [error]


def test_a_library_that_is_missing_is_named_with_what_installs_it() -> None:
    assert lacking_library() == ""
    missing = lacking_library(("json", "no_such_library"))
    assert missing == "scripts need the library 'no_such_library': pip install 'holdfast[hooks]'"


def test_no_connection_has_the_name_of_computed_tags(load_text: LoadText, errors_of: ErrorsOf) -> None:
    text = hooks("{name: oil, point: transform, source: x}")
    taken = "the connection 'hooks' is that of computed tags where there are scripts: rename it"
    assert errors_of(text.replace("press1", "hooks")) == [f"3:11: connections[hooks].name: {taken}"]
    assert not load_text(DOCUMENT.replace("press1", "hooks")).scripts

    loaded = load_text(text + "remote: {manage: [connections]}\n")
    group = {"name": "g", "interval": "1s", "tags": [{"name": "t", "address": "holding:1"}]}
    transport = {"type": "tcp", "host": "h"}
    sent = {"name": "hooks", "driver": "sample", "transport": transport, "groups": [group]}
    sections = {"connections": [sent]}
    with pytest.raises(ConfigErrors, match="rename it"):
        merge_remote(loaded, ConfigEnvelope(version=1, sections=sections), lookup)


def test_a_script_of_no_group_is_said(load_text: LoadText) -> None:
    text = hooks("{name: oil, point: transform, source: x, groups: [press1.*, pres2.*]}")
    (warning,) = load_text(text).warnings
    path = "hooks.scripts[oil].groups[1]"
    assert str(warning) == f"config.yaml:12:67: {path}: no group is called 'pres2.*': the script gets nothing"


def test_another_text_of_a_script_is_another_config(load_text: LoadText) -> None:
    text = hooks("{name: oil, point: transform, file: oil.py}")
    before = load_text(text, files={"oil.py": SOURCE}).outline
    after = load_text(text, files={"oil.py": SOURCE + "#\n"}).outline
    assert before.digest != after.digest
    assert diff(before, after).hooks == ("oil",)
    assert not diff(before, after).is_empty
    assert diff(before, before).hooks == ()


GOOD_KEY = "ed25519:" + "A" * 43 + "="


@pytest.mark.parametrize(
    ("keys", "error"),
    [
        ({"plant": "A" * 43 + "="}, "plant is no public key"),
        ({"plant": "ed25519:AAAA"}, "plant is no public key"),
        ({"plant": "ed25519:not base64"}, "plant is no public key"),
        ({"plant": "rsa:" + "A" * 43 + "="}, "plant is no public key"),
        ({"": GOOD_KEY}, "name has 1 to 64 characters"),
        ({"p" * 65: GOOD_KEY}, "name has 1 to 64 characters"),
    ],
)
def test_a_key_that_could_never_check_anything_is_an_error(
    errors_of: ErrorsOf, keys: dict[str, str], error: str
) -> None:
    hooks = yaml.safe_dump({"hooks": {"require_signature": keys}})
    (found,) = errors_of(DOCUMENT + hooks)
    assert error in found


def test_a_public_key_is_taken_as_it_is(load_text: LoadText) -> None:
    hooks = yaml.safe_dump({"hooks": {"require_signature": {"plant": GOOD_KEY}}})
    assert load_text(DOCUMENT + hooks).document.hooks.require_signature == {"plant": GOOD_KEY}
