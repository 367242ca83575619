"""Filling templates: placeholders in any text of a template's groups become parameters' values. Pure.

`{n}` is the parameter n; `{base+10}` a whole number and a distance; `{{` and `}}` are braces. A text that is
one placeholder alone becomes the value itself, a number for a number.
"""

import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, Final

from pydantic import Field

from central_sync.services.errors import Invalid
from central_sync.services.views import View

_PLACEHOLDER: Final = re.compile(r"\{\{|\}\}|\{([A-Za-z_][A-Za-z0-9_]{0,63})([+-][0-9]{1,9})?\}")
MAX_DEPTH: Final = 32
Value = str | int | float | bool


class ParameterType(StrEnum):
    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"


class Parameter(View):
    """default: absent where every use must give a value."""

    type: ParameterType = ParameterType.STRING
    default: Value | None = None
    description: str = Field("", max_length=500)


def placeholders(value: Any) -> set[str]:
    """The names of all parameters that are used. Raises Invalid for what is nested without end."""
    return {match[1] for text in _texts(value, 0) for match in _PLACEHOLDER.finditer(text) if match[1]}


def check_parameters(groups: Any, parameters: Mapping[str, Parameter]) -> None:
    """Raises Invalid (`bad_template`)."""
    missing = sorted(placeholders(groups) - set(parameters))
    if missing:
        raise Invalid("bad_template", f"the template uses {{{missing[0]}}}, which is no parameter of it")
    for name, parameter in parameters.items():
        if parameter.default is not None:
            _typed(name, parameter, parameter.default, "bad_template")


def values(parameters: Mapping[str, Parameter], given: Mapping[str, Any]) -> dict[str, Value]:
    """A value for each parameter, of its type. Texts stand for numbers too: tables have no others. Raises
    Invalid (`bad_parameters`)."""
    unknown = sorted(set(given) - set(parameters))
    if unknown:
        known = ", ".join(parameters) or "none"
        raise Invalid("bad_parameters", f"there is no parameter {unknown[0]}; there are: {known}")
    found: dict[str, Value] = {}
    for name, parameter in parameters.items():
        value = given.get(name, parameter.default)
        if value is None:
            raise Invalid("bad_parameters", f"the parameter {name} needs a value")
        found[name] = _typed(name, parameter, value, "bad_parameters")
    return found


def fill(value: Any, given: Mapping[str, Value]) -> Any:
    """A copy with every placeholder filled. Raises Invalid (`bad_parameters`)."""
    if isinstance(value, dict):
        return {_text(key, given): fill(each, given) for key, each in value.items()}
    if isinstance(value, list):
        return [fill(each, given) for each in value]
    if not isinstance(value, str):
        return value
    whole = _PLACEHOLDER.fullmatch(value)
    if whole is not None and whole[1]:
        return _value(whole, given)
    return _text(value, given)


def _text(text: str, given: Mapping[str, Value]) -> str:
    def put(match: re.Match[str]) -> str:
        if not match[1]:
            return match[0][0]
        value = _value(match, given)
        return str(value).lower() if isinstance(value, bool) else str(value)

    return _PLACEHOLDER.sub(put, text)


def _value(match: re.Match[str], given: Mapping[str, Value]) -> Value:
    value = given[match[1]]
    if not match[2]:
        return value
    if isinstance(value, bool) or not isinstance(value, int):
        raise Invalid("bad_parameters", f"{match[0]} needs a whole number, and {match[1]} is {value!r}")
    return value + int(match[2])


def _texts(value: Any, depth: int) -> Iterator[str]:
    if depth > MAX_DEPTH:
        raise Invalid("bad_template", f"nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield str(key)
            yield from _texts(each, depth + 1)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each, depth + 1)


def _typed(name: str, parameter: Parameter, value: Any, code: str) -> Value:
    found = _converted(parameter.type, value)
    if found is None:
        raise Invalid(code, f"the parameter {name} is a {parameter.type}, and {value!r:.100} is none")
    return found


def _converted(kind: ParameterType, value: Any) -> Value | None:
    match kind:
        case ParameterType.STRING:
            return value if isinstance(value, str) else None
        case ParameterType.BOOLEAN:
            known = {"true": True, "false": False}
            return value if isinstance(value, bool) else known.get(str(value).strip().lower())
    if isinstance(value, bool):
        return None
    return _number(value, int if kind is ParameterType.INTEGER else float)


def _number(value: Any, kind: type[int] | type[float]) -> int | float | None:
    try:
        number = kind(value) if isinstance(value, str) and len(value) <= 30 else value
    except ValueError:
        return None
    if kind is float and isinstance(number, int):
        return number if abs(number) < 1 << 53 else None
    if not isinstance(number, kind) or number != number or abs(number) >= 1 << 62:
        return None
    return number
