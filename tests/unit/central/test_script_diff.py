"""What differs between two versions: settings, lines, and how much work that may be."""

import difflib
import random

import pytest

from central_sync.services.scripts.diff import diff
from central_sync.services.scripts.views import ScriptDiff
from edge_agent.wire.scripts import MAX_SOURCE_BYTES, Script


def between(before: str | None, after: str) -> ScriptDiff:
    old = None if before is None else Script(name="a", hook_type="transform", source=before)
    return diff(old, Script(name="a", hook_type="transform", source=after), (1, 2))


LONG = "".join(f"line {number}\n" for number in range(30))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a\nb\n", "a\nc\n"), ("a\n", "a\nb\n"), ("a\nb\n", "b\n"), (LONG, LONG.replace("line 3\n", "")),
        (LONG, LONG.replace("line 2\n", "x\n").replace("line 25\n", "y\nz\n")), ("a\n", "b\n"),
        ("a\n", "a\n"),
    ],
)  # fmt: skip
def test_lines_differ_as_in_a_unified_diff(before: str, after: str) -> None:
    lines = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), "version 1", "version 2"
    )
    assert between(before, after).text == "".join(lines)


def test_a_first_version_is_all_new() -> None:
    found = between(None, "a\nb\n")
    assert (found.added, found.removed, found.text) == (
        2,
        0,
        "--- version 1\n+++ version 2\n@@ -0,0 +1,2 @@\n+a\n+b\n",
    )


@pytest.mark.parametrize("after", ["a", "a\r\n", "a\x0b\n", "a\u2028\n"])
def test_sources_that_differ_in_ends_of_lines_alone_differ(after: str) -> None:
    assert (between("a\n", after).added, between("a\n", after).removed) == (1, 1)


def test_sources_made_to_be_hard_to_compare_take_bounded_work() -> None:
    """Lines that are alike by the hundred, as no script has them: comparing them all took minutes."""
    chance = random.Random(1)
    few = [chr(0x41 + number) for number in range(120)]
    sources = ["".join(f"{chance.choice(few)}\n" for _ in range(MAX_SOURCE_BYTES // 3)) for _ in range(2)]
    found = between(*sources)
    # What could not be compared is shown as replaced.
    assert found.added == found.removed == MAX_SOURCE_BYTES // 3
