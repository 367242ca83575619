"""What differs between two versions of a script: its settings by name, its source by lines. Pure."""

import difflib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from central_sync.services.scripts.views import ScriptDiff, SettingChange
from edge_agent.wire.scripts import Script

_SOURCE: Final = {"source", "version", "signatures"}
# Comparing takes the square of the lines that are alike. A part that is left when these are used up is shown
# as replaced, whole.
MAX_STEPS: Final = 1_000_000
_CONTEXT: Final = 3
_UNENDED: Final = "\n\\ No newline at end of file"


def diff(before: Script | None, after: Script, versions: tuple[int, int]) -> ScriptDiff:
    """before: None where there was nothing. versions: the numbers of both. May take half a second."""
    old = before.model_dump(mode="json", exclude=_SOURCE) if before else {}
    new = after.model_dump(mode="json", exclude=_SOURCE)
    settings = [
        SettingChange(name=name, before=old.get(name), after=value)
        for name, value in new.items()
        if old.get(name) != value
    ]
    body = list(_unified(_lines(before.source) if before else [], _lines(after.source)))
    head = [f"--- version {versions[0]}", f"+++ version {versions[1]}"]
    return ScriptDiff.model_validate(
        {
            "from": versions[0], "to": versions[1], "settings": settings,
            "text": "\n".join([*head, *body]) + "\n" if body else "",
            "added": sum(line.startswith("+") for line in body),
            "removed": sum(line.startswith("-") for line in body),
        }
    )  # fmt: skip


def _lines(source: str) -> list[str]:
    """Sources that differ have lines that differ, the end of the last one too."""
    lines = source.split("\n")
    if lines[-1]:
        return [*lines[:-1], lines[-1] + _UNENDED]
    return lines[:-1]


def _unified(before: Sequence[str], after: Sequence[str]) -> Iterator[str]:
    """A unified diff without its head."""
    for changes in _Comparison(before, after).get_grouped_opcodes(_CONTEXT):
        (_, start, _, first, _), (_, _, end, _, last) = changes[0], changes[-1]
        yield f"@@ -{_range(start, end)} +{_range(first, last)} @@"
        for tag, i1, i2, j1, j2 in changes:
            if tag == "equal":
                yield from (f" {line}" for line in before[i1:i2])
            else:
                yield from (f"-{line}" for line in before[i1:i2])
                yield from (f"+{line}" for line in after[j1:j2])


def _range(start: int, end: int) -> str:
    """Lines count from 1; an empty range names the line before it."""
    count = end - start
    if count == 1:
        return str(start + 1)
    return f"{start + bool(count)},{count}"


class _Comparison(difflib.SequenceMatcher[str]):
    """One that takes `MAX_STEPS` at most."""

    def __init__(self, before: Sequence[str], after: Sequence[str]) -> None:
        self._left = MAX_STEPS
        self._before = before
        self._counts = Counter(after)
        super().__init__(None, before, after, autojunk=False)

    def find_longest_match(
        self, alo: int = 0, ahi: int | None = None, blo: int = 0, bhi: int | None = None
    ) -> difflib.Match:
        self._left -= sum(1 + self._counts[line] for line in self._before[alo:ahi])
        if self._left < 0:
            return difflib.Match(alo, blo, 0)
        return super().find_longest_match(alo, ahi, blo, bhi)
