"""Pydantic's errors in short plain words that say what to do. Pure."""

import difflib
import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from edge_agent.config.introspect import Model, known_keys, models_at
from edge_agent.config.models import ID_PATTERN

Details = dict[str, Any]  # one entry of ValidationError.errors()
EMPTY_LIST: Final = "is empty: at least 1 is needed"
_ID_RULE: Final = "needs lower-case letters, digits and inner hyphens, such as press-1"
_LONGEST_SHOWN: Final = 80


def message(error: Details, model: Model, noun: str = "key") -> str:
    """One error of `model`, without a place. noun: what the document's settings are called there."""
    kind: str = error["type"]
    if kind == "extra_forbidden":
        return _unknown_key(error, model, noun)
    if kind in _WORDS:
        return _WORDS[kind](error)
    for ending, text in _NEEDS:
        if kind.startswith(ending):
            return f"needs {text}{_got(error)}"
    text = str(error["msg"])
    return text[:1].lower() + text[1:]


def closest(word: object, known: Sequence[str]) -> str:
    """`, did you mean 'x'?` where something known looks like `word`."""
    near = difflib.get_close_matches(str(word).lower(), known, n=1)
    return f", did you mean '{near[0]}'?" if near else ""


def unknown_key(key: str, known: Sequence[str], noun: str = "key") -> str:
    near = closest(key, known)
    return f"unknown {noun} '{key}'{near}" if near else f"unknown {noun} '{key}'; known: {', '.join(known)}"


def shown(value: object) -> str:
    """A value as it may stand in a message: bounded, on one line."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(str(value)) if isinstance(value, str) else f"{value!r}"
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def _got(error: Details) -> str:
    return f" (got {shown(error['input'])})"


def _unknown_key(error: Details, model: Model, noun: str) -> str:
    location = error["loc"]
    return unknown_key(str(location[-1]), known_keys(models_at(model, location[:-1])), noun)


def _context(error: Details, key: str) -> Any:
    return error.get("ctx", {}).get(key)


def _one_of(error: Details, key: str) -> str:
    expected = str(_context(error, key))
    known = re.findall(r"'([^']*)'", expected) or [expected]
    given = _context(error, "tag") if key == "expected_tags" else error["input"]
    near = ""
    if isinstance(given, str):
        usual = _USUAL_TYPES.get(given.strip().lower())
        near = f", did you mean '{usual}'?" if usual in known else closest(given, known)
    return f"needs one of {', '.join(known)} (got {shown(given)}){near}"


# What other systems call our types. `float` looks like float64, which would read another value.
_USUAL_TYPES: Final = {
    "float": "float32", "real": "float32", "single": "float32", "double": "float64", "lreal": "float64",
    "word": "uint16", "uint": "uint16", "short": "int16", "int": "int16", "dword": "uint32",
    "udint": "uint32", "long": "int32", "dint": "int32", "lword": "uint64", "lint": "int64",
    "byte": "uint8", "bit": "bool", "boolean": "bool", "str": "string",
}  # fmt: skip


def _text_expected(error: Details) -> str:
    value = error["input"]
    if isinstance(value, bool | int | float):
        return f"needs a text: put {shown(value)} in quotes"
    return f"needs a text{_got(error)}"


def _pattern(error: Details) -> str:
    if _context(error, "pattern") == ID_PATTERN:
        return _ID_RULE + _got(error)
    return f"does not look like it should ({_context(error, 'pattern')}){_got(error)}"


def _too_short(error: Details) -> str:
    least = _context(error, "min_length")
    return EMPTY_LIST if least == 1 else f"needs at least {least} entries"


def _bound(words: str, key: str) -> Callable[[Details], str]:
    return lambda error: f"must be {words} {_context(error, key)}{_got(error)}"


def _own_words(error: Details) -> str:
    """What a validator of ours, or of a driver, raised."""
    return str(_context(error, "error") or error["msg"])


_WORDS: Final[dict[str, Callable[[Details], str]]] = {
    "missing": lambda _error: "is missing",
    "value_error": _own_words,
    "assertion_error": _own_words,
    "string_type": _text_expected,
    "string_pattern_mismatch": _pattern,
    "string_too_short": lambda error: "is empty" if _context(error, "min_length") == 1
        else f"needs at least {_context(error, 'min_length')} characters",
    "string_too_long": lambda error: f"has more than {_context(error, 'max_length')} characters",
    "too_short": _too_short,
    "too_long": lambda error: f"has more than {_context(error, 'max_length')} entries",
    "literal_error": lambda error: _one_of(error, "expected"),
    "enum": lambda error: _one_of(error, "expected"),
    "union_tag_invalid": lambda error: _one_of(error, "expected_tags"),
    "union_tag_not_found": lambda error: f"needs its {str(_context(error, 'discriminator')).strip(chr(39))}",
    "greater_than": _bound("more than", "gt"),
    "greater_than_equal": _bound("at least", "ge"),
    "less_than": _bound("less than", "lt"),
    "less_than_equal": _bound("at most", "le"),
}  # fmt: skip
_NEEDS: Final = (
    ("model_", "a mapping (key: value)"),
    ("dict_", "a mapping (key: value)"),
    ("mapping_", "a mapping (key: value)"),
    ("list_", "a list"),
    ("tuple_", "a list"),
    ("int_", "a whole number"),
    ("float_", "a number"),
    ("finite_", "a finite number"),
    ("bool_", "true or false"),
    ("string_", "a text"),
)
