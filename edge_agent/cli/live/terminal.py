"""The loop over curses: keys in, rows out. What decides is elsewhere in this package."""

import contextlib
import curses
import locale
import os
from collections.abc import Callable, Mapping
from typing import Final

from edge_agent.cli.context import UsageError
from edge_agent.cli.live.figures import Figures, figures
from edge_agent.cli.live.grid import Row
from edge_agent.cli.live.screen import render
from edge_agent.cli.live.view import View, press
from edge_agent.cli.live.watch import Watcher, notice
from edge_agent.cli.text import width

# How soon an answer of the agent shows, and how long Esc waits for being the start of another key.
_LOOK_MS: Final = 100
_ESCAPE_MS: Final = 25
_RESIZED: Final = "resized"
_KEYS: Final[Mapping[int | str, str]] = {
    curses.KEY_UP: "up", curses.KEY_DOWN: "down", curses.KEY_PPAGE: "pageup", curses.KEY_NPAGE: "pagedown",
    curses.KEY_HOME: "home", curses.KEY_END: "end", curses.KEY_ENTER: "enter", "\n": "enter", "\r": "enter",
    curses.KEY_BACKSPACE: "backspace", "\x7f": "backspace", "\b": "backspace", "\x1b": "esc",
    curses.KEY_RESIZE: _RESIZED,
}  # fmt: skip
_COLOURS: Final = (("bad", curses.COLOR_RED), ("warn", curses.COLOR_YELLOW), ("good", curses.COLOR_GREEN))


def run(watcher: Watcher, view: View, now_ms: Callable[[], int], *, colours: bool) -> None:
    """Until q. Raises UsageError where the terminal cannot move its cursor."""
    # Curses reckons the columns of wide characters by the locale.
    with contextlib.suppress(locale.Error):
        locale.setlocale(locale.LC_ALL, "")
    name = os.environ.get("TERM", "")
    try:
        curses.setupterm()
    except curses.error as error:
        raise UsageError(f"the terminal {name!r} is not known here; set TERM, or use --once") from error
    if not curses.tigetstr("cup"):
        raise UsageError(f"the terminal {name!r} cannot move its cursor; use --once or --json")
    curses.set_escdelay(_ESCAPE_MS)
    curses.wrapper(lambda window: _Loop(window, watcher, now_ms, colours=colours).run(view))


class _Loop:
    def __init__(
        self, window: "curses.window", watcher: Watcher, now_ms: Callable[[], int], *, colours: bool
    ) -> None:
        self._window = window
        self._watcher = watcher
        self._now_ms = now_ms
        self._styles = _styles(colours=colours)
        self._shown: Figures | None = None
        self._notice = ""

    def run(self, view: View) -> None:
        with contextlib.suppress(curses.error):
            curses.curs_set(0)
        self._window.timeout(_LOOK_MS)
        while not view.done:
            self._watcher.look_at(view.opened)
            turns = self._watcher.turns
            shown = self._figures(paused=view.paused)
            height, columns = self._window.getmaxyx()
            screen = render(shown, view, columns, height, self._notice)
            self._draw(screen.rows)
            key = ""
            while not key and self._watcher.turns == turns:
                key = self._key()
            if key not in ("", _RESIZED):
                view = press(view, key, screen.names, screen.count, screen.page)

    def _figures(self, *, paused: bool) -> Figures:
        """The newest; while paused those that were shown when it began."""
        if self._shown is None or not paused:
            with self._watcher.lock:
                watch = self._watcher.watch
                history, trouble, restarts = list(watch.history), watch.trouble, watch.restarts
            self._shown = figures(history, self._now_ms())
            self._notice = notice(trouble, restarts, self._shown.uptime_seconds)
        return self._shown

    def _draw(self, rows: list[Row]) -> None:
        self._window.erase()
        for line, row in enumerate(rows):
            column = 0
            for part in row:
                # Curses fails after it has written the screen's last cell: there is no next one.
                with contextlib.suppress(curses.error):
                    self._window.addstr(line, column, self._encodable(part.text), self._styles[part.style])
                column += width(part.text)
        self._window.refresh()

    def _encodable(self, text: str) -> str:
        """A terminal of another encoding shows question marks instead of ending the view."""
        encoding = self._window.encoding
        return text.encode(encoding, "replace").decode(encoding)

    def _key(self) -> str:
        """The next key's name; empty where there was none, or one that means nothing."""
        try:
            key = self._window.get_wch()
        except curses.error:
            return ""
        named = _KEYS.get(key)
        return named or (key if isinstance(key, str) else "")


def _styles(*, colours: bool) -> dict[str, int]:
    styles = {
        "": curses.A_NORMAL, "bold": curses.A_BOLD, "dim": curses.A_DIM, "marked": curses.A_REVERSE,
        "good": curses.A_NORMAL, "warn": curses.A_BOLD, "bad": curses.A_BOLD,
    }  # fmt: skip
    if colours and curses.has_colors():
        with contextlib.suppress(curses.error):
            curses.use_default_colors()
        for number, (style, colour) in enumerate(_COLOURS, start=1):
            curses.init_pair(number, colour, -1)
            styles[style] = curses.color_pair(number)
    return styles
