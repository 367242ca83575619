"""YAML that explains itself, from the schema: what is required stands there, the rest is commented out."""

import math
import textwrap
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from edge_agent.config.scalars import word
from edge_agent.config.schema import Schema, item_models, models, type_words

# Marks a list in a model of which the sample has no item, but shows what one could be.
EMPTY: Final = "x-sample-empty"
_WIDTH: Final = 100
_PLAIN: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./%°")
_HEAD: Final = """\
# yaml-language-server: $schema=../docs/reference/edge-agent.schema.json
#
# The config of edge-agent: every setting and its meaning. Generated from the code (make docs).
# A setting that is commented out shows its default, or an example where it has none. A file to begin
# with comes from `edge-agent init`; `edge-agent check` says what is wrong with one. Tags may stand in a
# spreadsheet: tags: [{include: tags.csv}], see docs/tag-lists.md.
"""


def sample(schema: Schema) -> str:
    """The whole document. It loads as it is where there is a secret `central-token`."""
    return _HEAD + "\n".join(_fields(schema, schema["$defs"], "")) + "\n"


def _fields(model: Schema, defs: Mapping[str, Schema], indent: str) -> Iterator[str]:
    required = model.get("required", ())
    # What is required comes first, since an item begins with a field that is there; long lists come last.
    fields = sorted(
        model["properties"].items(),
        key=lambda field: (bool(item_models(field[1], defs)), field[0] not in required),
    )
    for name, field in fields:
        inner, items = models(field, defs), item_models(field, defs)
        if not indent:
            yield ""
        yield from _comment(field, defs, indent, inner)
        if inner and (name in required or not indent):
            yield f"{indent}{name}:"
            yield from _fields(inner[0], defs, indent + "  ")
            yield from _alternatives(inner, defs, indent + "  ")
        elif items and field.get(EMPTY):
            yield f"{indent}{name}: []"
            lines = (line for item in items for line in _item(item, defs, indent + "  "))
            yield from (f"{indent}# {line[len(indent) :]}" for line in lines)
        elif inner and not field.get("examples"):
            yield f"{indent}# {name}:"
            yield from _commented_out(inner[0], defs, indent)
        elif items:
            yield f"{indent}{name}:"
            for item in items:
                yield from _item(item, defs, indent + "  ")
        else:
            mark = "" if name in required else "# "
            yield f"{indent}{mark}{name}: {flow(value_of(name, field))}"


def _commented_out(model: Schema, defs: Mapping[str, Schema], indent: str) -> Iterator[str]:
    """A section that may be left out, with every setting of it."""
    every = {**model, "required": list(model["properties"])}
    for line in _fields(every, defs, "  "):
        yield f"{indent}# {line}"


def _alternatives(kinds: list[Schema], defs: Mapping[str, Schema], indent: str) -> Iterator[str]:
    """What the further kinds of a section have that those before them do not: commented out."""
    known = dict(kinds[0]["properties"])
    for kind in kinds[1:]:
        new = {name: field for name, field in kind["properties"].items() if known.get(name) != field}
        known |= new
        yield f"{indent}#"
        yield f"{indent}# Or: {kind.get('description', '')}"
        yield from _fields({**kind, "properties": new, "required": []}, defs, indent)


def _item(model: Schema, defs: Mapping[str, Schema], indent: str) -> Iterator[str]:
    yield from textwrap.wrap(
        model.get("description", ""), _WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# "
    )
    lines = list(_fields(model, defs, indent + "  "))
    first = next(index for index, line in enumerate(lines) if not line.lstrip().startswith("#"))
    yield from (line[2:] for line in lines[:first])
    yield f"{indent}- {lines[first].lstrip()}"
    yield from lines[first + 1 :]


def _comment(field: Schema, defs: Mapping[str, Schema], indent: str, inner: list[Schema]) -> Iterator[str]:
    text = field.get("description") or inner[0].get("description", "")
    words = type_words(field, defs)
    if not inner and not item_models(field, defs) and words != "text":
        text = f"{text} ({words})"
    yield from textwrap.wrap(
        text, _WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ", break_on_hyphens=False
    )


def value_of(name: str, field: Schema) -> Any:
    """What a sample shows for a field: its default, or an example where it has none or needs one.

    Raises ValueError for a required field without an example: its model is incomplete.
    """
    if "const" in field:
        return field["const"]
    if field.get("default") is not None:
        return field["default"]
    if field.get("examples"):
        return field["examples"][0]
    if "default" in field:
        return None
    raise ValueError(f"the field {name!r} has neither a default nor an example")


def flow(value: Any) -> str:
    """A value as a sample shows it: as `exact`, with `!secret name` as what it stands for."""
    return _line(value, lambda text: text if text.startswith("!secret ") else _text(text))


def exact(value: Any) -> str:
    """A value as YAML on one line that reads back the same. Texts are quoted where they would be read as
    something else; variables in them (`${NAME}`) stay what they are."""
    return _line(value, _text)


def _line(value: Any, text: Callable[[str], str]) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "null"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{text(str(key))}: {_line(item, text)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_line(item, text) for item in value) + "]"
    if isinstance(value, str):
        return text(value)
    return _float(value) if isinstance(value, float) else str(value)


def _float(value: float) -> str:
    if not math.isfinite(value):
        return ".nan" if math.isnan(value) else f"{'-' if value < 0 else ''}.inf"
    short = f"{value:g}"
    return short if float(short) == value and short != "-0" else repr(value)


def _text(value: str) -> str:
    # A colon is harmless between letters, as in holding:100 and https://.
    plain = value.replace(":", "") if not value.endswith(":") and ": " not in value else value
    if plain and set(plain) <= _PLAIN and value[0] not in "-:%" and isinstance(word(value), str):
        return value
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted if quoted.isprintable() else "".join(map(_escaped, quoted))}"'


def _escaped(character: str) -> str:
    return character if character.isprintable() else f"\\U{ord(character):08X}"
