"""The table of seeded faults fits the code: each text is there once, and each mutant is Python."""

import ast
from pathlib import Path

import pytest

from tests.crash import mutations
from tests.crash.mutations import MUTATIONS, Mutation, Outcome, assert_caught


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_mutation_changes_one_place_and_stays_python(mutation: Mutation) -> None:
    text = (mutations.ROOT / mutation.path).read_text(encoding="utf-8")
    changed = mutations.replaced(text, mutation)
    assert changed != text
    assert ast.dump(ast.parse(changed)) != ast.dump(ast.parse(text))


def test_names_are_unique_and_some_suite_catches_each() -> None:
    names = [mutation.name for mutation in MUTATIONS]
    assert len(set(names)) == len(names) >= 15
    assert [mutation.name for mutation in MUTATIONS if not mutation.suites] == []


def test_the_copy_wins_over_the_installed_packages(tmp_path: Path) -> None:
    mutant = mutations.mutated(tmp_path, MUTATIONS[0])
    assert mutations.where_packages_are(mutant) == [tmp_path, tmp_path]
    module = MUTATIONS[0].path.removesuffix(".py").replace("/", ".")
    found = mutations.run(
        mutant, ["-c", f"import inspect, {module} as m; print(inspect.getsource(m))"], 30, None
    )
    assert MUTATIONS[0].new in found.output


def test_the_copy_wins_under_pytest_and_in_its_children(tmp_path: Path) -> None:
    node = tmp_path / "test_where.py"
    node.write_text(
        "import subprocess, sys\n"
        "from edge_agent import wire\n"
        "from central_sync import app\n"
        "def test_where():\n"
        "    code = 'import edge_agent; print(edge_agent.__file__)'\n"
        "    child = subprocess.check_output([sys.executable, '-c', code], text=True)\n"
        "    print(f'<{wire.__file__}><{app.__file__}><{child.strip()}>')\n"
        "    raise AssertionError('judged')\n"
    )
    copy = mutations.unmutated(tmp_path / "copy")
    ini = str(mutations.ROOT / "pyproject.toml")
    outcome = mutations.run_pytest(copy, "-c", ini, str(node), seconds=50)
    assert_caught(outcome, "AssertionError: judged")
    for path in ("edge_agent/wire/__init__.py", "central_sync/app/__init__.py", "edge_agent/__init__.py"):
        assert f"<{copy / path}>" in outcome.output


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome(None, "violated: a frame is missing"),
        Outcome(0, "violated: a frame is missing"),
        Outcome(2, "violated: a frame is missing"),
        Outcome(1, "Traceback … KeyError"),
        Outcome(1, "ImportError: violated: a frame is missing"),
    ],
)
def test_a_suite_that_did_not_judge_has_caught_nothing(outcome: Outcome) -> None:
    with pytest.raises(AssertionError):
        assert_caught(outcome, "violated: ")


def test_a_text_that_is_gone_fails() -> None:
    with pytest.raises(AssertionError, match="bring the table up to date"):
        mutations.replaced("nothing of it", MUTATIONS[0])
