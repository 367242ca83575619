"""A few sections of a large document: the parser's events of these alone, and no more than it takes. Pure.

What finds the agent's socket needs its id and nothing of a hundred thousand tags. Making a tree of a text
is most of the work of reading it, so what is not asked for is passed over; and where nothing behind the
last section can add to them, parsing ends there.
"""

from collections.abc import Collection, Iterable, Iterator
from functools import cache
from typing import Any, Final

import yaml

# Keys whose content stands for keys of the same mapping: a section may come from there.
_STAND_INS: Final = frozenset(("include", "<<"))
_STARTS: Final = (yaml.MappingStartEvent, yaml.SequenceStartEvent)
_ENDS: Final = (yaml.MappingEndEvent, yaml.SequenceEndEvent)
_NODES: Final = (*_STARTS, yaml.ScalarEvent, yaml.AliasEvent)


def chosen(all_events: Iterable[yaml.Event], text: str, sections: Collection[str]) -> Iterator[yaml.Event]:
    """The events of `text` without the entries of its outermost mapping that are not asked for.

    An anchor that stands in what is left out is missing then; the reader says so, as of any other. What is
    wrong in what is left out is found where it is no YAML, and then only before the place where parsing
    ends. A document that is no mapping comes whole.
    """
    events: Iterator[Any] = iter(all_events)
    top: Any = None
    for event in events:
        top = event
        yield top
        if type(top) in _NODES:
            break
    if type(top) is not yaml.MappingStartEvent:
        yield from events
        return
    begin: Any = top.start_mark
    is_block = not top.flow_style and begin.column == 0
    last_place = cache(lambda names: _last_place(text, names, is_block))
    missing = frozenset(sections)
    for key in events:
        name = getattr(key, "value", None)
        taken = name is None or name in _STAND_INS or name in sections
        if taken:
            yield key
        if type(key) in _ENDS:
            break
        end = 0
        for event in _node(events):
            end = event.end_mark.index
            if taken:
                yield event
        missing -= {name}
        if end > last_place(missing | _STAND_INS):
            yield yaml.MappingEndEvent()
            return
    yield from events


def _node(events: Iterator[yaml.Event]) -> Iterator[Any]:
    """The events of the next node: a scalar, an alias, or all of a container."""
    depth = 0
    for event in events:
        depth += (type(event) in _STARTS) - (type(event) in _ENDS)
        yield event
        if depth == 0:
            return


def _last_place(text: str, names: Collection[str], is_block: bool) -> int:
    """Behind which index none of the names can be a key of the outermost mapping; -1: nowhere.

    It errs to one side: a place that is too far behind costs time alone. A backslash may stand for any
    letter. is_block: the mapping's keys stand at the left, each on a line of its own, as nothing else does
    but comments and the items of lists.
    """
    signs = (*names, "\\")
    if not is_block:
        return max(text.rfind(sign) for sign in signs)
    last, start = -1, 0
    for line in text.splitlines(keepends=True):
        may_be_key = line[0] not in " \t#\r\n" and not line.startswith("- ")
        if may_be_key and any(sign in line for sign in signs):
            last = start
        start += len(line)
    return last
