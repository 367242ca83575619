"""Where a value stands in a document, and the forms in which that is written. Pure.

JSON: a pointer (RFC 6901); `` is the whole document. Prometheus: `name{label="value"}`, where labels that
are not named may be any. Text: what stands around the value, with `{}` in its place. Shelly: a reading's
name.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

from edge_agent.drivers.http.shelly import READINGS

_ESCAPE: Final = re.compile(r"~(?![01])")
_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,8}")
_METRIC: Final = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})?", re.DOTALL)
_LABEL: Final = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\\n]|\\[\\"n])*)"\s*(,|$)')
_UNESCAPED: Final = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}


class Format(StrEnum):
    JSON = "json"
    TEXT = "text"
    PROMETHEUS = "prometheus"
    SHELLY = "shelly"


class Absent(Exception):
    """The document has no such place. The message says how far it goes."""


def check_address(format_: Format, address: str) -> None:
    """Raises ValueError with what is wrong and how it is written right."""
    match format_:
        case Format.JSON:
            check_pointer(address)
        case Format.TEXT:
            parse_hole(address)
        case Format.PROMETHEUS:
            parse_metric(address)
        case Format.SHELLY:
            if address not in READINGS:
                raise ValueError(f"a Shelly has no reading {address!r}; it has {', '.join(READINGS)}")


# --- JSON ------------------------------------------------------------------------------------------


def check_pointer(text: str) -> None:
    pointer_parts(text)


@lru_cache(maxsize=4_096)
def pointer_parts(text: str) -> tuple[str, ...]:
    """RFC 6901, 3 and 4. Raises ValueError."""
    if not text:
        return ()
    if not text.startswith("/"):
        raise ValueError(f"{text!r} is no JSON pointer: it begins with a slash, such as /sensors/0/temp")
    if _ESCAPE.search(text):
        raise ValueError(f"{text!r}: in a JSON pointer ~ is written ~0, and / within a name ~1")
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in text[1:].split("/"))


def follow(document: Any, pointer: str) -> Any:
    """What stands at the pointer. Raises Absent."""
    here = document
    for depth, part in enumerate(pointer_parts(pointer)):
        if isinstance(here, dict) and part in here:
            here = here[part]
        elif isinstance(here, list) and _INDEX.fullmatch(part) and int(part) < len(here):
            here = here[int(part)]
        else:
            where = "/".join(("", *pointer.split("/")[1 : depth + 1])) or "the document"
            raise Absent(f"{_kind(here)} at {where} has no {part!r}" if depth else f"no {part!r} in it")
    return here


def _kind(value: Any) -> str:
    if isinstance(value, dict):
        return "the object"
    return f"the list of {len(value)}" if isinstance(value, list) else "the value"


# --- text ------------------------------------------------------------------------------------------


@lru_cache(maxsize=4_096)
def parse_hole(text: str) -> tuple[str, str]:
    """What stands before and behind the value. Raises ValueError."""
    before, hole, behind = text.partition("{}")
    if not hole or "{}" in behind:
        raise ValueError(f"{text!r} needs one {{}} where the value stands, such as temp={{}} C")
    return before, behind


def find_text(document: str, address: str) -> str:
    """The first text that stands so, within a line, without the blanks around it. Raises Absent.

    Neither regular expression nor backtracking: a page must not be able to keep the agent busy.
    """
    before, behind = parse_hole(address)
    start = document.find(before)
    if start < 0:
        raise Absent(f"{before!r} does not stand in it")
    start += len(before)
    if not before and not behind:
        return document.strip()
    line_end = document.find("\n", start)
    line_end = len(document) if line_end < 0 else line_end
    end = document.find(behind, start, line_end) if behind else line_end
    if end < 0:
        raise Absent(f"{behind!r} does not follow {before!r} in its line")
    found = document[start:end].strip()
    return found if behind else (found.split(maxsplit=1) or [""])[0]


# --- Prometheus ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Metric:
    name: str
    labels: tuple[tuple[str, str], ...]


@lru_cache(maxsize=4_096)
def parse_metric(text: str) -> Metric:
    """Raises ValueError."""
    match = _METRIC.fullmatch(text)
    labels = None if match is None else parse_labels(match[2] or "")
    if match is None or labels is None:
        raise ValueError(f'{text!r} is no metric: write name or name{{label="value"}}')
    return Metric(match[1], tuple(sorted(labels.items())))


def parse_labels(text: str) -> dict[str, str] | None:
    """What stands between the braces; None where that are no labels."""
    labels: dict[str, str] = {}
    at = 0
    while text[at:].strip():
        match = _LABEL.match(text, at)
        if match is None:
            return None
        labels[match[1]] = re.sub(r'\\[\\"n]', lambda found: _UNESCAPED[found[0]], match[2])
        at = match.end()
    return labels
