"""What an unquoted word of the YAML means, and `${NAME}` inside of texts.

Words are read as YAML 1.2's core schema does. YAML 1.1's traps are therefore none: yes, no, on and off
are texts (a yes/no field takes them all the same), `12:30` is no number of minutes, `010` is no octal.
Numbers that would lose digits by being read (leading zeros, underscores, very long ones) stay texts.
"""

import re
from collections.abc import Mapping
from typing import Final

_CONSTANTS: Final[dict[str, bool | None]] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_FIRST: Final = frozenset("+-.0123456789")
_LONGEST_NUMBER: Final = 40
_INTEGER: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_BASED: Final = re.compile(r"0x[0-9a-fA-F]+|0o[0-7]+")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_SPECIAL: Final = re.compile(r"([-+]?)\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_VARIABLE: Final = re.compile(r"\$\$\{|\$\{([^}]*)\}?")
_NAME: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)

Scalar = None | bool | int | float | str


def word(text: str) -> Scalar:
    """The value of a plain (unquoted) scalar."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text[0] not in _FIRST or len(text) > _LONGEST_NUMBER:
        return text
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _BASED.fullmatch(text):
        return int(text, 0)
    if special := _SPECIAL.fullmatch(text):
        return float(special[1] + "inf") if special[2] else float("nan")
    return text


def substitute(text: str, environ: Mapping[str, str]) -> str:
    """`${NAME}` and `${NAME:-default}` by the environment's values; `$${` stands for `${`.

    As in a shell, the default stands for an empty variable too. Raises ValueError for a variable that is
    not set and has no default, and for what is between braces and no variable.
    """

    def value(match: re.Match[str]) -> str:
        if match[0] == "$${":
            return "${"
        variable = _NAME.fullmatch(match[1]) if match[0].endswith("}") else None
        if variable is None:
            raise ValueError(f"{match[0]!r} is not a variable: write ${{NAME}}, or $${{ for the characters")
        name, default = variable[1], variable[2]
        found = environ.get(name, "")
        if found or (default is None and name in environ):
            return found
        if default is None:
            raise ValueError(f"the environment variable {name} is not set (a default: ${{{name}:-value}})")
        return str(default)

    return _VARIABLE.sub(value, text)


def variables(text: str) -> list[str]:
    """The names of the variables that `text` uses."""
    names = (_NAME.fullmatch(match[1]) for match in _VARIABLE.finditer(text) if match[0] != "$${")
    return [name[1] for name in names if name]
