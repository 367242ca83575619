"""A config as it is written, without its secrets: line by line, so that a broken file can be shown too. Pure.

What stands under a secret's name is masked to the end of its line, with all lines that belong to it; in
doubt a line too much. The name in `!secret NAME` and in `${NAME}` stays: it says where a secret comes from.
"""

import re
from dataclasses import dataclass
from typing import Final

from edge_agent.config.secrecy import MASK, is_secret_key, masked

_KEY: Final = re.compile(r"(?P<quote>[\"']?)(?P<key>\w[\w. -]*?)(?P=quote)\s*:(?=\s|$|[\"'!\[{])")
_NAMES_ONE: Final = re.compile(r"\s*(!secret\s+[\"']?[\w./-]+[\"']?|[\"']?\$\{\w+\}[\"']?)\s*(?=[,}\]#]|$)")
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
        """The line without what is secret: of a mapping of secrets the keys stay."""
        key = _KEY.match(text)
        if not self.is_open or self.is_flow or key is None or self.names not in (None, indent):
            return MASK
        self.names = indent
        named = _NAMES_ONE.match(text, key.end())
        return text if named and named.end() == len(text) else f"{text[: key.end()]} {MASK}"


def masked_config(text: str) -> str:
    lines: list[str] = []
    block: _Block | None = None
    for line in text.splitlines():
        inner = line.strip()
        indent = len(line) - len(line.lstrip())
        if block is not None and inner and block.takes(indent, inner):
            lines.append(f"{line[:indent]}{block.shown(indent, inner)}")
            block.is_open = block.is_open and not block.is_flow
            continue
        if inner:
            block = None
        shown, begun = _line(line, indent)
        block = begun or block
        lines.append(_DEFAULT.sub(rf"\1{MASK}", shown))
    return masked("\n".join(lines) + "\n", ())


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
        return (line if is_open else f"{line[: match.end()]} {MASK}"), block
    return line, None
