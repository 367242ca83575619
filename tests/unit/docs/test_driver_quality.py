"""Each driver says of everything that is asked of a driver whether it does it, and what shows that."""

import re
from pathlib import Path

import pytest
import yaml

from edge_agent.drivers.registry import TABLE

ROOT = Path(__file__).parents[3]
PAGES = ROOT / "docs" / "drivers"
FILES = sorted(PAGES.glob("*.quality.yaml"))
KEYS = re.findall(r"^\| `(\w+)` \|", (PAGES / "quality-keys.md").read_text(encoding="utf-8"), re.MULTILINE)
_PATH = re.compile(r"(?:tests|bench|docs)/[\w./-]*\w")


def complaints(rows: object, keys: list[str]) -> list[str]:
    """What is wrong with a file's content; `keys`: what it must have, in order."""
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        return ["it is no list of rows"]
    found = [f"a row has {sorted(row)}" for row in rows if set(row) != {"what", "state", "why"}]
    if found:
        return found
    if [row["what"] for row in rows] != keys:
        found.append(f"its keys are {[row['what'] for row in rows]}")
    for row in rows:
        paths = _PATH.findall(str(row["why"]))
        if row["state"] not in ("done", "todo", "exempt"):
            found.append(f"{row['what']}: no state {row['state']}")
        if len(str(row["why"] or "").strip()) < 5:
            found.append(f"{row['what']}: it does not say why")
        if row["state"] == "done" and not paths:
            found.append(f"{row['what']}: done, and nothing shows it")
        found += [f"{row['what']}: there is no {path}" for path in paths if not (ROOT / path).exists()]
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_it_answers_every_question_and_names_what_shows_it(file: Path) -> None:
    assert complaints(yaml.safe_load(file.read_text(encoding="utf-8")), KEYS) == []


@pytest.mark.parametrize("driver", sorted(TABLE))
def test_every_driver_has_a_page_and_such_a_file(driver: str) -> None:
    assert (PAGES / f"{driver}.md").exists()
    assert (PAGES / f"{driver}.quality.yaml").exists()


def test_there_are_keys() -> None:
    assert len(KEYS) == len(set(KEYS)) > 20


@pytest.mark.parametrize(
    ("rows", "wrong"),
    [
        ("text", "no list"),
        ([{"what": "read", "state": "done"}], "a row has"),
        ([], "its keys are"),
        ([{"what": "read", "state": "maybe", "why": "tests/conftest.py"}], "no state"),
        ([{"what": "read", "state": "todo", "why": ""}], "does not say why"),
        ([{"what": "read", "state": "done", "why": "it does"}], "nothing shows it"),
        ([{"what": "read", "state": "done", "why": "tests/never.py"}], "there is no tests/never.py"),
    ],
)
def test_what_is_wrong_is_found(rows: object, wrong: str) -> None:
    assert any(wrong in each for each in complaints(rows, ["read"]))
