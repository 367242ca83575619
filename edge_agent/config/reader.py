"""YAML text to plain data with places. Pure: includes, secrets and variables are resolved elsewhere.

Built on the parser's events, not on its nodes: four times as fast, and libyaml's composer recurses on
the C stack, which `[[[[…` overflows. Nesting, nodes and what aliases multiply are bounded here. Keys
are texts as written. `<<` merges as in YAML 1.1.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from edge_agent.config.errors import Place, Problem
from edge_agent.config.scalars import word
from edge_agent.config.sections import chosen
from edge_agent.config.tree import PlacedList, PlacedMap, SecretName, join, label

MAX_BYTES: Final = 32 << 20
MAX_NODES: Final = 2_000_000
MAX_DEPTH: Final = 50
# Without libyaml (PyYAML built from source on 32-bit ARM) the Python parser is correct and slow.
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_UNPRINTABLE: Final = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_LINE_BREAK: Final = re.compile("\r\n|[\r\n\x85\u2028\u2029]")
_TEXT_TAG: Final = "tag:yaml.org,2002:str"
_SECRET_TAG: Final = "!secret"  # noqa: S105 a tag's name
_COLLECTION_TAGS: Final = (None, "!", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")
# libyaml's words for what people do most often.
_SYNTAX: Final = {
    "mapping values are not allowed in this context":
        "a ':' is not expected here: check the indentation, or put the text in quotes",
    "could not find expected ':'": "a ':' is missing after the key, or the indentation is wrong",
    "did not find expected key": "a key is expected here: check the indentation",
    "did not find expected ',' or '}'":
        "a ',' or '}' is missing (inside { } a text with [, {, ',' or ': ' needs quotes)",
    "did not find expected ',' or ']'":
        "a ',' or ']' is missing (inside [ ] a text with [, {, ',' or ': ' needs quotes)",
    "did not find expected '-' indicator": "a '- ' is expected here: check the indentation",
}  # fmt: skip


@dataclass(slots=True)
class Parsed:
    """What a text holds, as far as it could be read: None where it is empty or broken."""

    tree: Any = None
    problems: list[Problem] = field(default_factory=list)


def parse(data: bytes, file: str, sections: Collection[str] = ()) -> Parsed:
    """Reads one document. `file` is how places call it. Never raises.

    sections: of a mapping these keys alone, as `sections.chosen` has it; none: all of it.
    """
    text = _decode(data, file)
    if isinstance(text, Problem):
        return Parsed(problems=[text])
    builder = _Builder(file)
    try:
        _feed(builder, text, sections)
    except _Refusal as refusal:
        builder.problems.append(refusal.problem)
        return Parsed(problems=builder.problems)
    except yaml.YAMLError as error:
        builder.problems.append(_syntax_problem(error, file, text))
        return Parsed(problems=builder.problems)
    return Parsed(builder.root, builder.problems)


class _Refusal(Exception):
    """Reading cannot go on."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def _feed(builder: "_Builder", text: str, sections: Collection[str]) -> None:
    loader = _LOADER(text)
    handlers = {
        yaml.ScalarEvent: builder.scalar,
        yaml.MappingStartEvent: builder.begin,
        yaml.SequenceStartEvent: builder.begin,
        yaml.MappingEndEvent: builder.end,
        yaml.SequenceEndEvent: builder.end,
        yaml.AliasEvent: builder.alias,
        yaml.DocumentStartEvent: builder.document,
    }
    events = iter(loader.get_event, None)
    try:
        for event in chosen(events, text, sections) if sections else events:
            handler = handlers.get(type(event))
            if handler is not None:
                handler(event)
    finally:
        loader.dispose()


@dataclass(slots=True)
class _Open:
    """A mapping or list whose end has not come yet. `key` waits for its value."""

    container: PlacedMap | PlacedList
    anchor: str | None
    nodes_before: int
    key: str | None = None
    key_place: Place | None = None
    merges: list[Any] = field(default_factory=list)


class _Builder:
    """Takes events, keeps a stack of open containers."""

    def __init__(self, file: str) -> None:
        self.root: Any = None
        self.problems: list[Problem] = []
        self._file = file
        self._open: list[_Open] = []
        self._anchors: dict[str, tuple[Any, int] | None] = {}
        self._nodes = 0
        self._documents = 0

    def document(self, event: yaml.Event) -> None:
        self._documents += 1
        if self._documents > 1:
            message = "a config file holds one document: remove this ---"
            raise _Refusal(Problem(self._place(event), "", message))

    def scalar(self, event: Any) -> None:
        self._count(event, 1)
        if self._open and self._expects_key():
            self._take_key(event)
            return
        value = self._value(event)
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, 1)
        self._put(value, self._place(event))

    def begin(self, event: Any) -> None:
        self._count(event, 1)
        place = self._place(event)
        if self._open and self._expects_key():
            raise _Refusal(Problem(place, self._path(), "a key is a text, not a list or a mapping"))
        if len(self._open) >= MAX_DEPTH:
            raise _Refusal(Problem(place, "", f"the text is nested deeper than {MAX_DEPTH} levels"))
        if event.tag not in _COLLECTION_TAGS:
            self._unknown_tag(event.tag, place)
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        is_map = type(event) is yaml.MappingStartEvent
        container = PlacedMap(place) if is_map else PlacedList(place)
        self._open.append(_Open(container, event.anchor, self._nodes - 1))

    def end(self, _event: Any) -> None:
        done = self._open.pop()
        if done.merges and isinstance(done.container, PlacedMap):
            _merge(done.container, done.merges)
        if done.anchor is not None:
            self._anchors[done.anchor] = (done.container, self._nodes - done.nodes_before)
        self._put(done.container, done.container.place)

    def alias(self, event: Any) -> None:
        place = self._place(event)
        if self._open and self._expects_key():
            raise _Refusal(Problem(place, self._path(), "a key cannot be an alias: write it out"))
        if event.anchor not in self._anchors:
            raise _Refusal(Problem(place, self._path(), f"there is no anchor &{event.anchor} before this"))
        anchored = self._anchors[event.anchor]
        if anchored is None:
            raise _Refusal(Problem(place, self._path(), f"&{event.anchor} contains itself"))
        value, nodes = anchored
        self._count(event, nodes)
        self._put(value, place)

    def _count(self, event: Any, nodes: int) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            message = f"the document has more than {MAX_NODES} values (aliases count each time)"
            raise _Refusal(Problem(self._place(event), "", message))

    def _place(self, event: Any) -> Place:
        mark = event.start_mark
        return Place(self._file, mark.line + 1, mark.column + 1)

    def _expects_key(self) -> bool:
        top = self._open[-1]
        return top.key is None and type(top.container) is PlacedMap

    def _take_key(self, event: Any) -> None:
        top = self._open[-1]
        place = self._place(event)
        key = event.value
        container = top.container
        if isinstance(container, PlacedMap) and key in container:
            first = container.at[key][0]
            message = f"the key '{key}' is here for the second time; it is first in {_line_column(first)}"
            self.problems.append(Problem(place, join(self._path(), key), message))
        top.key, top.key_place = key, place

    def _value(self, event: Any) -> Any:
        if event.tag is None:
            return word(event.value) if event.implicit[0] else event.value
        if event.tag == _SECRET_TAG:
            if not event.value.strip():
                message = "!secret needs a name or a file: !secret central-token"
                self.problems.append(Problem(self._place(event), self._path(), message))
            return SecretName(event.value.strip())
        if event.tag not in ("!", _TEXT_TAG):
            self._unknown_tag(event.tag, self._place(event))
        return event.value

    def _unknown_tag(self, tag: str, place: Place) -> None:
        shown = tag.replace("tag:yaml.org,2002:", "!!")
        hint = "write include: file.yaml" if shown == "!include" else "the one known is !secret NAME"
        self.problems.append(Problem(place, self._path(), f"the tag {shown} is not known; {hint}"))

    def _put(self, value: Any, place: Place) -> None:
        if not self._open:
            self.root = value
            return
        top = self._open[-1]
        if isinstance(top.container, PlacedList):
            top.container.add(value, place)
            return
        key, key_place = top.key, top.key_place
        top.key = top.key_place = None
        if key is None or key_place is None:
            raise _Refusal(Problem(place, self._path(), "a key is a text, not a list or a mapping"))
        if key == "<<":
            self._take_merge(top, value, place)
        elif key not in top.container:
            top.container.put(key, value, (key_place, place))

    def _take_merge(self, top: _Open, value: Any, place: Place) -> None:
        merged = value if isinstance(value, list) else [value]
        if all(isinstance(each, PlacedMap) for each in merged):
            top.merges += merged
        else:
            self.problems.append(Problem(place, self._path(), "'<<' merges mappings: <<: *anchor"))

    def _path(self) -> str:
        """Where the reader is, with the names of the items that have told theirs already."""
        path = ""
        for above, below in zip(self._open, [*self._open, None][1:], strict=True):
            if isinstance(above.container, PlacedList):
                path += f"[{label(below and below.container, len(above.container))}]"
            elif above.key is not None:
                path = join(path, above.key)
        return path


def _merge(container: PlacedMap, merges: list[PlacedMap]) -> None:
    """What is merged fills in what the mapping does not say itself; the first that says it counts."""
    for merged in merges:
        for key, value in merged.items():
            if key not in container:
                container.put(key, value, merged.at[key])


def _line_column(place: Place) -> str:
    return f"line {place.line}, column {place.column}"


def _decode(data: bytes, file: str) -> str | Problem:
    if len(data) > MAX_BYTES:
        return Problem(Place(file), "", f"the file is larger than {MAX_BYTES >> 20} MiB")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = _place_at(file, data[: error.start].decode("utf-8", "replace"))
        return Problem(place, "", "this is not UTF-8: save the file with that encoding")
    if odd := _UNPRINTABLE.search(text):
        place = _place_at(file, text[: odd.start()])
        return Problem(place, "", f"the character U+{ord(odd[0]):04X} is not allowed in YAML")
    return text


def _place_at(file: str, before: str) -> Place:
    """The place behind the text `before`."""
    lines = _LINE_BREAK.split(before)
    return Place(file, len(lines), len(lines[-1]) + 1)


def _syntax_problem(error: yaml.YAMLError, file: str, text: str) -> Problem:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is None:
        return Problem(Place(file), "", f"this is not YAML: {error}")
    place = Place(file, mark.line + 1, mark.column + 1)
    lines = _LINE_BREAK.split(text)
    line = lines[mark.line] if mark.line < len(lines) else ""
    if "\t" in line[: len(line) - len(line.lstrip())] or line[mark.column : mark.column + 1] == "\t":
        return Problem(place, "", "a tab is not allowed here: indent with spaces")
    problem = getattr(error, "problem", None) or "it cannot be read"
    return Problem(place, "", f"this is not YAML: {_SYNTAX.get(problem, problem)}")
