"""A config as it is written, without its secrets: line by line, so that a broken file can be shown too. Pure.

What stands under a secret's name is masked to the end of its line, with all lines that belong to it; in
doubt a line too much. The name in `!secret NAME` and in `${NAME}` stays: it says where a secret comes from.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from edge_agent.config.secrecy import MASK, is_secret_key, masked

_KEY: Final = re.compile(r"(?P<quote>[\"']?)(?P<key>\w[\w. -]*?)(?P=quote)\s*:(?=\s|$|[\"'!\[{])")
_NAMES_ONE: Final = re.compile(r"\s*(!secret\s+[\"']?[\w./-]+[\"']?|[\"']?\$\{\w+\}[\"']?)\s*(?=[,}\]#]|$)")
# The first value of what is hidden, without its quotes.
_SCALAR: Final = re.compile(r"\"([^\"]*)\"|'([^']*)'|([^\s,}\]]+)")
# `${NAME:-value}`: the value may be anything.
_DEFAULT: Final = re.compile(r"(\$\{\w+:-)[^}]*")


@dataclass(slots=True)
class _Block:
    """A secret that may go on in the lines below its key.

    column: lines that are indented further belong to it. is_open: nothing stood behind the colon, so that a
    list may begin in the same column. is_flow: it is within brackets, where the next line may begin anywhere.
    names: the column of the keys of a mapping of secrets, once one was seen.
    """

    column: int
    is_open: bool
    is_flow: bool
    names: int | None = None

    def takes(self, indent: int, text: str) -> bool:
        if indent > self.column or (self.is_open and self.is_flow):
            return True
        return self.is_open and indent == self.column and text.startswith("-")

    def shown(self, indent: int, text: str) -> str:
        """What of the line is no secret: of a mapping of secrets the keys stay."""
        key = _KEY.match(text)
        if not self.is_open or self.is_flow or key is None or self.names not in (None, indent):
            return ""
        self.names = indent
        named = _NAMES_ONE.match(text, key.end())
        return text if named and named.end() == len(text) else text[: key.end()]


def masked_config(text: str) -> str:
    shown = [line if line == whole else f"{line} {MASK}" if line.strip() else line + MASK
             for line, whole in _walk(text)]  # fmt: skip
    return masked("\n".join(_DEFAULT.sub(rf"\1{MASK}", line) for line in shown) + "\n", ())


def hidden_values(text: str) -> set[str]:
    """What `masked_config` hides: the secrets of a config that no parser can read."""
    found: set[str] = set()
    for line, whole in _walk(text):
        hidden = whole[len(line) :].strip().removeprefix("- ")
        if hidden:
            match = _SCALAR.match(hidden)
            found |= {hidden, match[1] or match[2] or match[3] or ""} if match else {hidden}
    return found


def _walk(text: str) -> Iterator[tuple[str, str]]:
    """Of each line what may be shown, and the line."""
    block: _Block | None = None
    for line in text.splitlines():
        inner = line.strip()
        indent = len(line) - len(line.lstrip())
        if block is not None and inner and block.takes(indent, inner):
            yield f"{line[:indent]}{block.shown(indent, inner)}", line.rstrip()
            block.is_open = block.is_open and not block.is_flow
            continue
        if inner:
            block = None
        shown, begun = _line(line, indent)
        block = begun or block
        yield shown, line


def _line(line: str, indent: int) -> tuple[str, _Block | None]:
    """The line up to its first secret, and that secret."""
    start = 0
    while match := _KEY.search(line, start):
        start = match.end()
        if not is_secret_key(match["key"]):
            continue
        named = _NAMES_ONE.match(line, start)
        if named:
            start = named.end()
            continue
        first = not line[: match.start()].strip(" -")
        is_open = not line[match.end() :].partition(" #")[0].strip()
        block = _Block(match.start() if first else indent, is_open, not first)
        return (line if is_open else line[: match.end()]), block
    return line, None
