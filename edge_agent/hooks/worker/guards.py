"""What a script's names stand for: its builtins, and the functions that RestrictedPython calls in its place.

They keep mistakes and pranks away and give clear errors; that a script can do no harm is the work of the
process it runs in (`worker.sandbox`).
"""

import builtins
import operator
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any, Final

from RestrictedPython.Guards import (
    guarded_iter_unpack_sequence,
    guarded_unpack_sequence,
    safe_builtins,
)
from RestrictedPython.transformer import INSPECT_ATTRIBUTES

from edge_agent.hooks.worker.account import Account
from edge_agent.hooks.worker.modules import MARKERS, MODULES, Namespace

FORMATTING: Final = frozenset({"format", "format_map"})
_REFUSED: Final = INSPECT_ATTRIBUTES | FORMATTING
_MORE_BUILTINS: Final = (
    "all", "any", "bin", "bytes", "dict", "enumerate", "filter", "frozenset", "iter", "list", "map", "max",
    "min", "next", "object", "reversed", "set", "sorted", "sum", "tuple", "zip",
)  # fmt: skip
_OF_DATETIME: Final = {name: import_module(name) for name in ("_strptime", "time")}
_NOTHING: Final = object()
_SIMPLE: Final = frozenset({list, dict})


def getattr_of(value: Any, name: str, default: Any = _NOTHING) -> Any:
    """Attributes as a script may see them. Raises AttributeError."""
    if type(name) is not str:
        raise TypeError("the name of an attribute is a text")
    if name in _REFUSED or name.startswith("_"):
        if name in FORMATTING and isinstance(value, str | type):
            raise AttributeError(f"str.{name} is not allowed: write an f-string")
        if name not in FORMATTING:
            raise AttributeError(f"the attribute {name!r} is not allowed")
    return getattr(value, name) if default is _NOTHING else getattr(value, name, default)


def hasattr_of(value: Any, name: str) -> bool:
    try:
        getattr_of(value, name)
    except AttributeError:
        return False
    return True


class _Unwritable:
    """Takes the place of what a script may not change."""

    def __init__(self, value: object) -> None:
        self.__dict__["what"] = type(value).__name__

    def _refuse(self, *_: object) -> None:
        raise TypeError(f"{self.__dict__['what']} cannot be changed by a script")

    __setitem__ = __delitem__ = __setattr__ = __delattr__ = _refuse


def write_to(value: Any) -> Any:
    """What an assignment to an item of `value` goes to."""
    return value if type(value) in _SIMPLE or isinstance(value, Account) else owner(value)


def owner(value: Any) -> Any:
    """What an assignment to an attribute of `value` goes to."""
    return value if hasattr(type(value), "_guarded_writes") else _Unwritable(value)


def setattr_of(value: Any, name: str, new: Any) -> None:
    if type(name) is not str or name.startswith("_"):
        raise AttributeError(f"the attribute {name!r} is not allowed")
    setattr(owner(value), name, new)


def delattr_of(value: Any, name: str) -> None:
    if type(name) is not str or name.startswith("_"):
        raise AttributeError(f"the attribute {name!r} is not allowed")
    delattr(owner(value), name)


def importer(own: Mapping[str, Any]) -> Callable[..., Any]:
    """What `import` does in a script. `own`: what is its alone, of `holdfast_hooks`."""
    markers = {name: _entry(name, own) for name in MARKERS}
    modules = {**MODULES, "holdfast_hooks": Namespace("holdfast_hooks", markers)}

    def import_of(name: str, *_: object, **__: object) -> Any:
        # The interpreter asks here on behalf of `strftime` and `strptime`; a script that did is not compiled.
        module = _OF_DATETIME.get(name) or modules.get(name)
        if module is None:
            raise ImportError(f"scripts cannot import {name!r}: there are {', '.join(MODULES)}")
        return module

    return import_of


def _entry(name: str, own: Mapping[str, Any]) -> Any:
    return own.get(name) or getattr(MODULES["holdfast_hooks"], name)


def class_of(name: str, bases: tuple[type, ...], entries: dict[str, Any]) -> type:
    """A class of a script; its own instances may be changed."""
    made = type(name, bases, entries)
    made._guarded_writes = True  # type: ignore[attr-defined]
    return made


def iterated(value: Any) -> Iterator[Any]:
    return iter(value)


BUILTINS: Final[dict[str, Any]] = {
    **{name: value for name, value in safe_builtins.items() if not name.startswith("_")},
    **{name: getattr(builtins, name) for name in _MORE_BUILTINS},
    "__build_class__": builtins.__build_class__,
    "delattr": delattr_of,
    "getattr": getattr_of,
    "hasattr": hasattr_of,
    "setattr": setattr_of,
}


def script_globals(name: str, own: dict[str, Any]) -> dict[str, Any]:
    """Globals of one script. `own`: what is its alone, such as print."""
    return {
        "__builtins__": {**BUILTINS, **own, "__import__": importer(own)},
        "__metaclass__": class_of,
        "_alone_": _alone,
        "__name__": name,
        "_getattr_": getattr_of,
        "_getitem_": operator.getitem,
        "_getiter_": iterated,
        "_iter_unpack_sequence_": guarded_iter_unpack_sequence,
        "_unpack_sequence_": guarded_unpack_sequence,
        "_write_": write_to,
        "_owner_": owner,
        "_apply_": _apply,
        **{module: MODULES[module] for module in ("datetime", "json", "math", "re", "statistics")},
    }


def _alone(given: Any, name: str, make: Callable[[], Any]) -> None:
    if isinstance(given, Account):
        given.alone(name, make)
    else:
        # The script called its own function with something else.
        given[name] = make()


def _apply(function: Any, *arguments: Any, **named: Any) -> Any:
    return function(*arguments, **named)
