"""Scripts compiled in the sandbox before they are taken: what is refused is named with its line."""

from pathlib import Path

import pytest

from edge_agent.app.hook_trial import compile_sent, script_problems
from edge_agent.app.settings import load_config
from edge_agent.contracts.errors import ConfigError
from edge_agent.wire.scripts import HookPoint, Script

GOOD = 'OUTPUTS = {"f": "float32"}\ndef transform(frame):\n    frame["f"] = 1\n'
CONFIG = """\
agent: {id: a}
hooks:
  scripts:
    - {name: good, point: transform, file: good.py}
    - {name: bad, point: transform, file: bad.py}
    - name: inline
      point: on_cycle
      source: |
        OUTPUTS = {"f": "float32"}
        def on_cycle(cycle):
            cycle.__class__
"""


def test_the_problems_of_a_configs_scripts_name_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "good.py").write_text(GOOD)
    (tmp_path / "bad.py").write_text(GOOD + "    x = = 1\n")
    path = tmp_path / "edge-agent.yaml"
    path.write_text(CONFIG)
    bad, inline = (str(problem) for problem in script_problems(load_config(path)))
    assert bad.startswith(f"{tmp_path}/bad.py:4: hooks.scripts[bad]: invalid syntax")
    assert inline.startswith(f"{path}:8:15: hooks.scripts[inline].source: line 3: ")
    assert "__class__" in inline


def test_a_config_without_scripts_begins_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a process was begun")

    monkeypatch.setattr("subprocess.Popen", refuse)
    path = tmp_path / "edge-agent.yaml"
    path.write_text("agent: {id: a}\n")
    assert script_problems(load_config(path)) == []


async def test_a_set_of_the_centre_is_refused_with_a_line_for_each_script() -> None:
    def script(name: str, source: str) -> Script:
        return Script(name=name, hook_type=HookPoint.TRANSFORM, source=source)

    await compile_sent([script("good", GOOD)], [])
    with pytest.raises(ConfigError) as caught:
        await compile_sent([script("a", "x = = 1"), script("good", GOOD), script("b", "OUTPUTS = {}")], [])
    first, second = str(caught.value).splitlines()
    assert first.startswith("a: line 1: invalid syntax")
    assert second == "b: the script defines no function transform"
