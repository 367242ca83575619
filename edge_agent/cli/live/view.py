"""What the keys did to the live view. Pure: a key and what is on the screen give the next view."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from edge_agent.cli.live.figures import ORDERS

_MOST_FILTER: Final = 60
_ORDER_NAMES: Final = tuple(ORDERS)


@dataclass(frozen=True, slots=True)
class View:
    """opened: the connection whose values are shown. selected: the marked connection, by its name, so that
    it stays marked while rows change places. first: the first value shown. typing: `/` was pressed."""

    order: str = _ORDER_NAMES[0]
    filter: str = ""
    typing: bool = False
    selected: str | None = None
    opened: str | None = None
    first: int = 0
    paused: bool = False
    help: bool = False
    done: bool = False


def press(view: View, key: str, names: Sequence[str], count: int, page: int) -> View:
    """The view after a key: a printable character, or up, down, pageup, pagedown, home, end, enter, esc,
    backspace.

    names: the connections on the screen, in order. count: of values. page: rows that one screen shows.
    """
    if view.typing:
        return _typed(view, key)
    if view.help:
        return replace(view, help=False, done=key == "q")
    match key:
        case "q":
            return replace(view, done=True)
        case "?":
            return replace(view, help=True)
        case "p":
            return replace(view, paused=not view.paused)
        case "/":
            return replace(view, typing=True, filter="", first=0)
        case "s" if view.opened is None:
            return replace(view, order=_after(view.order))
        case "esc":
            return _back(view)
        case "enter" if view.opened is None and names:
            return replace(
                view, opened=_marked(view, names), selected=_marked(view, names), filter="", first=0
            )
    return _moved(view, key, names, count, page)


def _typed(view: View, key: str) -> View:
    match key:
        case "enter":
            return replace(view, typing=False)
        case "esc":
            return replace(view, typing=False, filter="", first=0)
        case "backspace":
            return replace(view, filter=view.filter[:-1], first=0)
    if len(key) == 1 and key.isprintable() and len(view.filter) < _MOST_FILTER:
        return replace(view, filter=view.filter + key, first=0)
    return view


def _back(view: View) -> View:
    if view.filter:
        return replace(view, filter="", first=0)
    return replace(view, opened=None, first=0)


def _after(order: str) -> str:
    return _ORDER_NAMES[(_ORDER_NAMES.index(order) + 1) % len(_ORDER_NAMES)]


def _marked(view: View, names: Sequence[str]) -> str:
    """The marked one; the first where that is not on the screen any more."""
    return view.selected if view.selected in names and view.selected else names[0]


def _moved(view: View, key: str, names: Sequence[str], count: int, page: int) -> View:
    far = max(len(names), count)
    step = {"up": -1, "down": 1, "pageup": -page, "pagedown": page, "home": -far, "end": far}.get(key)
    if step is None:
        return view
    if view.opened is not None:
        return replace(view, first=max(0, min(view.first + step, count - page)))
    if not names:
        return view
    index = names.index(_marked(view, names)) + step
    return replace(view, selected=names[max(0, min(index, len(names) - 1))])


def window(index: int, count: int, page: int) -> range:
    """Which of `count` rows are shown so that the row `index` is among them."""
    first = max(0, min(index - page // 2, count - page))
    return range(first, min(first + page, count))
