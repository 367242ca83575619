"""Kills a process with SIGKILL at a named point: before, in or behind a call or an SQL statement.

`python -m tests.crash.trap WHAT WHEN COUNT MODULE ARGUMENTS…` runs a program of ours under a trap. WHAT is
`writev`, `unlink` or `open`, the beginning of an SQL statement, or a function as `module:Class.method`.
The product knows nothing of this.
"""

import asyncio
import functools
import importlib
import os
import runpy
import signal
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

ANY_MOMENT: Final = "any moment"
# Of a statement of SQL: there is no room for it, the disk fails in it, and fails when it is done.
FAULTS: Final = {
    "full": sqlite3.SQLITE_FULL,
    "failing": sqlite3.SQLITE_IOERR,
    "unsure": sqlite3.SQLITE_IOERR,
}


@dataclass
class Trap:
    """Kills the process at the `count`-th time that `what` happens; `count` 0: the parent does."""

    what: str = ANY_MOMENT
    when: str = ""
    count: int = 0

    def passes(self, what: str, when: str) -> None:
        if not what.startswith(self.what) or when != self.when:
            return
        self.count -= 1
        if self.count == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def breaks(self, what: str, when: str) -> None:
        """Like `passes`, and the disk fails instead."""
        if what.startswith(self.what) and when == self.when:
            self.count -= 1
            if self.count == 0:
                error = sqlite3.OperationalError(f"{what[:20]} {when}")
                error.sqlite_errorcode = FAULTS[when]
                raise error

    def around(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            self.passes(name, "before")
            result = function(*args, **kwargs)
            self.passes(name, "after")
            return result

        return wrapped

    def spring(self) -> None:
        """From now on the system calls and statements of this process pass by the trap."""
        trap, writev = self, os.writev

        def torn(descriptor: int, parts: tuple[bytes, bytes]) -> int:
            if trap.what == "writev" and trap.when == "torn" and trap.count == 1:
                data = b"".join(parts)
                os.write(descriptor, data[: len(data) * 2 // 3])
            trap.passes("writev", "torn")
            return writev(descriptor, parts)

        class Connection(sqlite3.Connection):
            def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
                return self._past(sql, super().execute, *args)

            def executemany(self, sql: str, *args: Any) -> sqlite3.Cursor:
                return self._past(sql, super().executemany, *args)

            def _past(self, sql: str, call: Callable[..., sqlite3.Cursor], *args: Any) -> sqlite3.Cursor:
                trap.passes(sql.lstrip(), "before")
                for fault in ("full", "failing"):
                    trap.breaks(sql.lstrip(), fault)
                cursor = call(sql, *args)
                trap.breaks(sql.lstrip(), "unsure")
                trap.passes(sql.lstrip(), "after")
                return cursor

        for name, wrapped in {
            "writev": self.around("writev", torn),
            "unlink": self.around("unlink", os.unlink),
            "open": self.around("open", os.open),
        }.items():
            setattr(os, name, wrapped)
        sqlite3.connect = functools.partial(sqlite3.connect, factory=Connection)  # type: ignore[assignment]

    def set_in(self, place: str) -> None:
        """Puts the trap round a function: `module:Class.method`, plain or a coroutine."""
        module, _, path = place.partition(":")
        *owners, name = path.split(".")
        owner = functools.reduce(getattr, owners, importlib.import_module(module))
        function = getattr(owner, name)

        @functools.wraps(function)
        async def awaited(*args: Any, **kwargs: Any) -> Any:
            self.passes(place, "before")
            result = await function(*args, **kwargs)
            self.passes(place, "after")
            return result

        plain = self.around(place, function)
        setattr(owner, name, awaited if asyncio.iscoroutinefunction(function) else plain)


def main() -> None:
    what, when, count, module, *arguments = sys.argv[1:]
    trap = Trap(what, when, int(count))
    trap.spring()
    if ":" in what:
        trap.set_in(what)
    sys.argv[1:] = arguments
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
