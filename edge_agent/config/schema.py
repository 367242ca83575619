"""The JSON Schema of the whole document with all drivers: what the reference, the sample and editors read.

Made by pydantic from the models; besides the standard words it carries `x-quantity` (duration, size,
rate), `x-range` (bounds in words) and `x-driver`, which editors ignore.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from edge_agent.config.expand import STEP_FIELD
from edge_agent.config.models import ID_PATTERN, ConnectionSettings, Document
from edge_agent.config.resolve import JOINED_LISTS
from edge_agent.config.units import Bytes, Seconds, format_duration, format_size
from edge_agent.config.validate import SettingsLookup

Schema = dict[str, Any]
_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_VARIABLE: Final[Schema] = {"type": "string", "pattern": r"\$\{"}
_YES_OR_NO: Final[Schema] = {"enum": ["yes", "no", "on", "off"]}
_INCLUDE: Final[Schema] = {
    "description": "Files whose content is merged here: a path or pattern relative to this file, or a list.",
    "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
}
_ENCODING: Final[Schema] = {
    "description": "Character set of an included tag list; absent: UTF-8, UTF-16 or CP949 is recognised.",
    "type": "string",
}
# What may stand in the place of a list, and of each of its items.
_INCLUDED: Final[Schema] = {
    "type": "object", "properties": {"include": _INCLUDE}, "required": ["include"],
    "additionalProperties": False,
}  # fmt: skip
_INCLUDED_TAGS: Final[Schema] = {
    **_INCLUDED, "properties": {"include": _INCLUDE, "encoding": _ENCODING},
}  # fmt: skip
# Words about a value rather than about its shape: they stay outside when the shape is widened.
_NOTES: Final = ("description", "default", "examples", "x-quantity", "x-range")


class _Generator(GenerateJsonSchema):
    def encode_default(self, dft: Any) -> Any:
        if isinstance(dft, Seconds):
            return format_duration(dft)
        if isinstance(dft, Bytes):
            return format_size(dft)
        return super().encode_default(dft)


def document_schema(lookup: SettingsLookup, driver_names: Sequence[str]) -> Schema:
    """The schema as the models have it. `connections` takes what one of the drivers takes.

    Raises ConfigError as `lookup` does.
    """
    drivers = [lookup(name) for name in driver_names]
    wanted = [(model, "validation") for model in (Document, *drivers)]
    refs, definitions = models_json_schema(wanted, schema_generator=_Generator)  # type: ignore[arg-type]
    result = _tidy(definitions)
    defs = result["$defs"]
    base = _name_of(refs, Document)
    document = defs.pop(base)
    choices = [
        {**refs[driver, "validation"], "x-driver": name}
        for name, driver in zip(driver_names, drivers, strict=True)
    ]
    document["properties"]["connections"]["items"] = {"anyOf": choices}
    for driver in drivers:
        definition = defs[_name_of(refs, driver)]
        definition["required"] = sorted({*definition.get("required", ()), "driver"})
        definition["properties"]["driver"].pop("default", None)
    defs.pop(ConnectionSettings.__name__, None)
    return {"$schema": _DIALECT, "title": "edge-agent.yaml", **document, "$defs": defs}


def _name_of(refs: dict[Any, Any], model: Any) -> str:
    return str(refs[model, "validation"]["$ref"]).rsplit("/", maxsplit=1)[-1]


def _tidy(schema: Schema) -> Schema:
    """Without pydantic's titles and the fields that no document sets; rates with their `/s`."""
    result = _each(schema, _tidy)
    result.pop("title", None)
    if "properties" in result:
        result["properties"].pop(STEP_FIELD, None)
    if result.get("x-quantity") == "rate" and "default" in result:
        result["default"] += "/s"
    return result


def editor_schema(document: Schema) -> Schema:
    """The same for editors, which see the text before `${NAME}` and `include` have been resolved."""
    result = _edited(document)
    # A section that is named and left empty takes its defaults.
    sections = {
        name: {"if": {"type": "null"}, "else": section} for name, section in result["properties"].items()
    }
    return {**result, "properties": sections}


def _edited(schema: Schema) -> Schema:
    if _is_strict(schema):
        shape = {key: value for key, value in schema.items() if key not in _NOTES}
        notes = {key: value for key, value in schema.items() if key in _NOTES}
        return {
            **notes,
            "anyOf": [shape, _VARIABLE, *([_YES_OR_NO] if shape.get("type") == "boolean" else [])],
        }
    result = _each(schema, _edited)
    if "discriminator" in result:
        return _by_discriminator(result)
    if schema.get("additionalProperties") is False and "properties" in result:
        result["properties"]["include"] = _INCLUDE
        if needed := result.pop("required", None):  # it may stand in the file
            result["anyOf"] = [{"required": needed}, {"required": ["include"]}]
    for name, field in result.get("properties", {}).items():
        if field.get("type") == "array" and name in JOINED_LISTS:
            result["properties"][name] = _includable(field, _INCLUDED_TAGS if name == "tags" else _INCLUDED)
    return result


def _includable(field: Schema, included: Schema) -> Schema:
    """A list in whose place, and among whose items, an include may stand."""
    notes = {key: value for key, value in field.items() if key in _NOTES}
    shape = {key: value for key, value in field.items() if key not in _NOTES}
    shape["items"] = {
        "if": {"type": "object", "required": ["include"], "not": {"required": ["name"]}},
        "then": included,
        "else": _by_driver(field["items"]),
    }
    return {
        **notes, "if": {"type": "object"}, "then": included, "else": shape,
    }  # fmt: skip


def _by_discriminator(union: Schema) -> Schema:
    """The members of a union by the setting that tells them apart; without it, the first."""
    notes = {key: value for key, value in union.items() if key in _NOTES}
    name = union["discriminator"]["propertyName"]
    kinds = union["discriminator"]["mapping"]
    choices = [
        {"if": {"properties": {name: {"const": kind}}, "required": [name]}, "then": {"$ref": ref}}
        for kind, ref in kinds.items()
    ]
    absent = {"if": {"not": {"required": [name]}}, "then": union["oneOf"][0]}
    allowed = {"anyOf": [{"enum": list(kinds)}, _VARIABLE]}
    return {**notes, "type": "object", "properties": {name: allowed}, "allOf": [*choices, absent]}


def _by_driver(items: Schema) -> Schema:
    """A choice of drivers, so that an editor offers and judges the settings of the one that is named."""
    if "anyOf" not in items:
        return items
    drivers = {part["x-driver"]: {"$ref": part["$ref"]} for part in items["anyOf"]}
    return {
        "type": "object",
        "properties": {"driver": {"anyOf": [{"enum": list(drivers)}, _VARIABLE]}},
        "anyOf": [{"required": ["driver"]}, {"required": ["include"]}],
        "allOf": [
            {"if": {"properties": {"driver": {"const": name}}, "required": ["driver"]}, "then": model}
            for name, model in drivers.items()
        ],
    }


def _is_strict(schema: Schema) -> bool:
    """Whether a text with a variable in it would be refused."""
    return schema.get("type") in ("integer", "number", "boolean") or "pattern" in schema or "enum" in schema


def _each(schema: Schema, change: Callable[[Schema], Schema]) -> Schema:
    """A copy of the schema whose parts have been changed."""
    result = dict(schema)
    for key in ("properties", "$defs"):
        if key in schema:
            result[key] = {name: change(part) for name, part in schema[key].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            result[key] = change(schema[key])
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            result[key] = [change(part) for part in schema[key]]
    return result


# --- reading the schema -----------------------------------------------------------------------------


def members(field: Schema, defs: Mapping[str, Schema]) -> list[Schema]:
    """What a field may be, references followed, without null: one schema for most fields."""
    if "$ref" in field:
        return members(defs[field["$ref"].rsplit("/", maxsplit=1)[-1]], defs)
    parts = field.get("anyOf") or field.get("oneOf")
    if parts is None:
        return [] if field.get("type") == "null" else [field]
    return [member for part in parts for member in members(part, defs)]


def models(field: Schema, defs: Mapping[str, Schema]) -> list[Schema]:
    """The models among the members of a field."""
    return [member for member in members(field, defs) if "properties" in member]


def item_models(field: Schema, defs: Mapping[str, Schema]) -> list[Schema]:
    """The models that the items of a list may be; empty where the field is no such list."""
    return [model for part in members(field, defs) for model in models(part.get("items", {}), defs)]


def type_words(field: Schema, defs: Mapping[str, Schema]) -> str:
    """What a field takes, in words: `whole number, 1 to 65535`, `duration, 10ms to 1d`, `a or b`."""
    return " or ".join(dict.fromkeys(_words(member, defs) for member in members(field, defs)))


def _words(member: Schema, defs: Mapping[str, Schema]) -> str:
    if "x-quantity" in member:
        return ", ".join([member["x-quantity"], *([member["x-range"]] if "x-range" in member else [])])
    if "enum" in member:
        return " or ".join(str(choice) for choice in member["enum"])
    if "const" in member:
        return str(member["const"])
    match member.get("type"):
        case "array":
            return f"list of {type_words(member.get('items', {}), defs)}"
        case "object" if "properties" not in member:
            return f"mapping to {type_words(member.get('additionalProperties', {}), defs)}"
        case "object":
            return "mapping"
        case "boolean":
            return "true or false"
        case "integer":
            return "whole number" + _bounds(member)
        case "number":
            return "number" + _bounds(member)
        case _:
            return "id" if member.get("pattern") == ID_PATTERN else "text"


def _bounds(member: Schema) -> str:
    low, high = member.get("minimum"), member.get("maximum")
    above = member.get("exclusiveMinimum")
    parts = [
        f"more than {above}" if above is not None else "",
        f"{low} to {high}" if low is not None and high is not None else "",
        f"at least {low}" if low is not None and high is None else "",
        f"at most {high}" if high is not None and low is None else "",
    ]
    return "".join(f", {part}" for part in parts if part)
