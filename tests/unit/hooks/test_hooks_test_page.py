"""docs/hooks-test.md: what it shows of scripts is what they do."""

import io
import re
import textwrap
from pathlib import Path

import pytest

from edge_agent import app
from edge_agent.cli.context import Context
from edge_agent.cli.main import main

PAGE = (Path(__file__).parents[3] / "docs" / "hooks-test.md").read_text(encoding="utf-8")


def block(pattern: str) -> str:
    found = re.search(pattern, PAGE, re.DOTALL)
    assert found is not None, "the page does not have it any more"
    return found[1]


def run(*argv: str) -> tuple[int, str]:
    out = io.StringIO()
    context = Context(io.StringIO(), out, io.StringIO(), {}, lambda: 0, lambda: app, lambda _, __: 0)
    return main(list(argv), context), out.getvalue()


def without_times(text: str) -> str:
    return re.sub(r"\d+\.\d+ ms", "… ms", text)


def test_the_first_run_shows_what_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "oil.py").write_text(block(r"```python\n(.*?)```"))
    (tmp_path / "oil.csv").write_text(block(r"```\n(time,.*?)```"))
    code, shown = run("hook", "test", "oil.py", "--frames", "oil.csv", "--group", "press1.fast")
    assert code == 1
    assert without_times(shown) == without_times(
        block(r"\$ edge-agent hook test oil.py --frames[^\n]*\n(.*?)```")
    )


def test_a_script_that_is_refused_shows_what_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "import.py").write_text(
        textwrap.dedent("""\
        import os


        def transform(frame):
            pass
        """)
    )
    code, shown = run("hook", "test", "import.py")
    assert code == 1
    assert shown == block(r"\$ edge-agent hook test import.py\n(.*?)```")
