"""The page's files: one table of texts in both languages, and nothing from anywhere else."""

import json
import re
from pathlib import Path

import pytest

from edge_agent.web.assets import FILES

PAGE = Path(__file__).parents[3] / "edge_agent" / "web" / "page"
TEXTS: dict[str, list[str]] = json.loads((PAGE / "texts.json").read_text())
SCRIPTS = {path.name: path.read_text() for path in sorted(PAGE.glob("*.js"))}
# Keys that are put together from a name of the agent's or of the page's.
MADE = ("word.", "finding.", "tab.", "span.", "unit.")
HANGUL = re.compile("[가-힣]")


def used() -> set[str]:
    found = set()
    for text in SCRIPTS.values():
        found |= set(re.findall(r"""\bt\(\s*"([a-z_.]+)\"""", text))
        found |= {
            key for pair in re.findall(r't\([^()"]*\? "([a-z_.]+)" : "([a-z_.]+)"', text) for key in pair
        }
    return found


def test_each_text_is_there_in_both_languages() -> None:
    for key, versions in TEXTS.items():
        assert len(versions) == 2, key
        assert all(text.strip() for text in versions), key


def test_the_korean_ones_are_korean() -> None:
    same = {"unit.ms"}
    assert {key for key, (_, korean) in TEXTS.items() if not HANGUL.search(korean)} - same == {
        "language.other"
    }


@pytest.mark.parametrize("key", sorted(TEXTS))
def test_both_languages_tell_the_same_facts(key: str) -> None:
    english, korean = ({*re.findall(r"\{(\w+)\}", text)} for text in TEXTS[key])
    assert english == korean


def test_every_text_that_the_scripts_ask_for_is_in_the_table() -> None:
    assert used() - TEXTS.keys() == set()


def test_no_text_is_left_over() -> None:
    quoted = {key for text in SCRIPTS.values() for key in re.findall(r'"([a-z_.]+)"', text)}
    left = {key for key in TEXTS.keys() - quoted if not key.startswith(MADE)}
    assert left == set()


def test_every_finding_has_its_sentence() -> None:
    source = (PAGE.parents[1] / "runtime" / "health.py").read_text()
    codes = set(re.findall(r'None, "(\w+)"|or None, "(\w+)"|^ +"(\w+)", \{', source, re.MULTILINE))
    named = {name for group in codes for name in group if name}
    assert {"connection", "unit", "buffer", "sink", "clock"} <= named
    assert {f"finding.{name}" for name in named} - TEXTS.keys() == set()


def test_the_list_of_files_is_the_folder() -> None:
    assert sorted(FILES) == sorted(path.name for path in PAGE.iterdir())


def test_no_file_asks_for_anything_from_elsewhere_or_carries_inline_code() -> None:
    for path in PAGE.iterdir():
        text = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|//[a-z]+\.", text), path.name
    html = (PAGE / "index.html").read_text()
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*src=)", html)


def test_the_scripts_put_nothing_into_the_page_as_markup() -> None:
    for name, text in SCRIPTS.items():
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", text), name


def test_ages_and_spans_are_by_the_agents_clock() -> None:
    """One script knows how far the browser's clock is off; the others ask it."""
    reading = {name for name, text in SCRIPTS.items() if "Date.now" in text}
    assert reading == {"app.js"}


@pytest.mark.parametrize("path", sorted(PAGE.glob("*.[jc]s*")), ids=lambda path: path.name)
def test_no_file_is_too_long(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400
