"""What a server told of its variables, as a tag list that this config takes: YAML or CSV. Pure.

The way back from `tag_list` and the YAML's tags. Names come from where a variable stands; what would mean
something else in a config (`${…}`, a range in brackets) is written so that it does not.
"""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from edge_agent.contracts.driver import Browsed

_MOST_NAME: Final = 200
_RANGE_IN_NAME: Final = re.compile(r"\[([^\]]*\.\.[^\]]*)\]")
_RANGE_IN_ADDRESS: Final = re.compile(r"[0-9]\.\.[0-9]")
_COLUMNS: Final = ("name", "address", "type", "count", "unit", "description", "note")


class Named:
    """A variable with the name of its tag."""

    __slots__ = ("found", "name")

    def __init__(self, name: str, found: Browsed) -> None:
        self.name = name
        self.found = found


def named(found: Iterable[Browsed]) -> tuple[list[Named], list[str]]:
    """The tags among what was found, each with a name of its own; and the addresses of those left out: a
    config would take them for a range, or a table's cell without their blanks."""
    taken: set[str] = set()
    tags: list[Named] = []
    left_out: list[str] = []
    for each in found:
        if not each.is_tag:
            continue
        if _RANGE_IN_ADDRESS.search(each.address) or each.address != each.address.strip():
            left_out.append(each.address)
            continue
        name = _free(_RANGE_IN_NAME.sub(r"(\1)", ".".join(each.path).strip()), taken)
        taken.add(name)
        tags.append(Named(name, each))
    return tags, left_out


def _free(wanted: str, taken: set[str]) -> str:
    """A name's end tells more than its beginning."""
    name, number = wanted[-_MOST_NAME:] or "tag", 1
    while name in taken:
        number += 1
        mark = f"~{number}"
        name = wanted[-(_MOST_NAME - len(mark)) :] + mark
    return name


def as_yaml(tags: Sequence[Named]) -> Iterator[str]:
    """Lines: items of a group's `tags`, or a file to be included there."""
    for tag in tags:
        found = tag.found
        parts = [f"name: {_quoted(tag.name)}", f"address: {_quoted(found.address)}"]
        if found.type:
            parts.append(f"type: {found.type}")
        if found.count != 1:
            parts.append(f"count: {found.count}")
        if found.unit:
            parts.append(f"unit: {_quoted(found.unit)}")
        remark = _remark(found)
        yield f"- {{{', '.join(parts)}}}{f'  # {remark}' if remark else ''}"


def as_csv(tags: Sequence[Named]) -> str:
    """A table with a line of headings. Cells are quoted: a name may begin with #."""
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for tag in tags:
        found = tag.found
        writer.writerow(
            (
                tag.name, found.address, found.type, found.count if found.count != 1 else "", found.unit,
                found.description, "writable" if found.writable else "",
            )
        )  # fmt: skip
    return text.getvalue()


def _remark(found: Browsed) -> str:
    return ", ".join(part for part in (found.description, "writable" if found.writable else "") if part)


def _quoted(text: str) -> str:
    """A double-quoted scalar, in which `${` stands for itself."""
    return json.dumps(text.replace("${", "$${"), ensure_ascii=False)
