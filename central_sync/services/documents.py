"""Reading an operator's JSON document strictly: what one reader takes differently than another is refused.

Keys that are given twice, numbers that are not finite or beyond 64 bits, and half characters have no
canonical form. Every refusal says where.
"""

import json
import math
from typing import Any, Final, NoReturn, TypeVar

import orjson
from pydantic import BaseModel, JsonValue, ValidationError

from central_sync.services.errors import Invalid

MAX_DEPTH: Final = 64
M = TypeVar("M", bound=BaseModel)


def parse_model(body: bytes, wanted: type[M], code: str = "bad_body") -> M:
    """Raises Invalid with the place."""
    try:
        return wanted.model_validate_json(body)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise Invalid(code, f"{place + ': ' if place else ''}{first['msg']}") from error


def canonical_object(body: bytes, code: str) -> bytes:
    """The document as canonical bytes: sorted keys, no blanks. Raises Invalid with `code`."""
    try:
        document = json.loads(body.decode(), object_pairs_hook=_object, parse_constant=_constant)
    except RecursionError as error:
        raise Invalid(code, f"the document is nested deeper than {MAX_DEPTH} levels") from error
    except ValueError as error:
        raise Invalid(code, f"not JSON: {error}") from error
    if not isinstance(document, dict):
        raise Invalid(code, "the body must be a JSON object")
    problem = _problem(document, "", 0)
    if problem is not None:
        raise Invalid(code, problem)
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"the key {name!r} is given twice in one object")
        found[name] = value
    return found


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _problem(value: JsonValue, at: str, depth: int) -> str | None:
    """The first thing that has no canonical form, and where it stands."""
    if depth > MAX_DEPTH:
        return f"{at}: nested deeper than {MAX_DEPTH} levels"
    if isinstance(value, dict):
        for name, part in value.items():
            place = f"{at}.{name}" if at else name
            found = _scalar_problem(name, at) or _problem(part, place, depth + 1)
            if found:
                return found
    elif isinstance(value, list):
        for index, part in enumerate(value):
            found = _problem(part, f"{at}[{index}]", depth + 1)
            if found:
                return found
    return _scalar_problem(value, at)


def _scalar_problem(value: JsonValue, at: str) -> str | None:
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
        return f"{at}: a whole number beyond 64 bits"
    if isinstance(value, float) and not math.isfinite(value):
        return f"{at}: a number that is too large"
    if isinstance(value, str) and any("\ud800" <= char <= "\udfff" for char in value):
        return f"{ascii(at)[1:-1]}: a text with half a character (a lone surrogate)"
    return None
