"""Cases as folders in tests/golden/config: config.yaml and what it needs beside it, and

- expected.txt: the lines of its errors; or
- expected.json: the document, without what has its default; warnings.txt: its warnings, where it has some;
- environ.json: the environment, where it has one.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from edge_agent.config.errors import ConfigErrors
from edge_agent.config.load import load
from tests.unit.config.sample_driver import lookup

CASES = Path(__file__).parents[2] / "golden" / "config"


def read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def outcome(case: Path) -> dict[str, Any]:
    environ = json.loads(read(case / "environ.json") or "{}")
    try:
        loaded = load(Path("config.yaml"), lookup, environ)
    except ConfigErrors as errors:
        return {"errors": str(errors)}
    document = loaded.document.model_dump(mode="json", exclude_defaults=True)
    return {"document": document, "warnings": "\n".join(str(each) for each in loaded.warnings)}


@pytest.mark.parametrize("case", sorted(CASES.iterdir()), ids=lambda case: case.name)
def test_case(case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(case, tmp_path, dirs_exist_ok=True)
    for path in tmp_path.rglob("*"):  # a checkout's permissions depend on its user
        path.chmod(0o755 if path.is_dir() else 0o644)
    monkeypatch.chdir(tmp_path)
    found = outcome(case)
    if (case / "expected.txt").exists():
        assert found == {"errors": read(case / "expected.txt").rstrip("\n")}
        return
    expected = json.loads((case / "expected.json").read_text())
    assert found == {"document": expected, "warnings": read(case / "warnings.txt").rstrip("\n")}


def test_there_are_cases_of_both_kinds() -> None:
    assert len(list(CASES.glob("*/expected.txt"))) >= 5
    assert len(list(CASES.glob("*/expected.json"))) >= 5
