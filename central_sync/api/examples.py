"""Examples for the OpenAPI document, made of what the models say about themselves. Pure.

Every body and every answer has one: a model's own example, else its fields' examples, defaults and types.
"""

from typing import Any, Final

Json = dict[str, Any]

# Deep enough for every model; where one holds itself the example ends.
_DEPTH: Final = 8
_REFERENCE: Final = "#/components/schemas/"
_TEXT: Final = "text"
_BY_TYPE: Final[dict[str, Any]] = {"integer": 0, "number": 0.5, "boolean": True}


def example(schema: Json, definitions: Json, depth: int = 0) -> Any:
    """A value that is valid for a JSON Schema; references are looked up in `definitions`."""
    if "$ref" in schema:
        schema = {**definitions[schema["$ref"].removeprefix(_REFERENCE)], **_beside(schema)}
    for key in ("examples", "enum"):
        if schema.get(key):
            return schema[key][0]
    if "example" in schema:
        return schema["example"]
    if "const" in schema:
        return schema["const"]
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            return _of_choice(schema, key, definitions, depth)
    if schema.get("default") is not None:
        return schema["default"]
    return _of_type(schema, definitions, depth)


def _beside(schema: Json) -> Json:
    return {key: value for key, value in schema.items() if key != "$ref"}


def _of_choice(schema: Json, key: str, definitions: Json, depth: int) -> Any:
    """The first way that is not null: an example shall show something."""
    ways = [way for way in schema[key] if way.get("type") != "null"]
    if schema.get("default") is not None:
        return schema["default"]
    return example(ways[0], definitions, depth) if ways and depth < _DEPTH else None


def _of_type(schema: Json, definitions: Json, depth: int) -> Any:
    kind = schema.get("type")
    if kind == "object":
        return _of_object(schema, definitions, depth)
    if kind == "array":
        return _of_array(schema, definitions, depth)
    if kind == "string":
        return _TEXT[: schema.get("maxLength")].ljust(schema.get("minLength", 0), "x")
    if kind in ("integer", "number"):
        return _of_number(schema, _BY_TYPE[kind])
    return _BY_TYPE.get(str(kind))


def _of_object(schema: Json, definitions: Json, depth: int) -> Json:
    if depth >= _DEPTH:
        return {}
    properties = schema.get("properties", {})
    return {name: example(part, definitions, depth + 1) for name, part in properties.items()}


def _of_array(schema: Json, definitions: Json, depth: int) -> list[Any]:
    if depth >= _DEPTH:
        return []
    if "prefixItems" in schema:
        return [example(part, definitions, depth + 1) for part in schema["prefixItems"]]
    items = schema.get("items")
    return [example(items, definitions, depth + 1)] if isinstance(items, dict) and items else []


def _of_number(schema: Json, usual: Any) -> Any:
    least = schema.get("minimum", schema.get("exclusiveMinimum"))
    most = schema.get("maximum", schema.get("exclusiveMaximum"))
    if least is not None and usual <= least:
        return least + 1 if "exclusiveMinimum" in schema else least
    if most is not None and usual >= most:
        return most - 1 if "exclusiveMaximum" in schema else most
    return usual
