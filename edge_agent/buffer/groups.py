"""Whose frames a schema describes, without understanding all of it: that takes seconds in a large plant."""

import contextlib
import sqlite3

import orjson

from edge_agent.buffer import rows

Group = tuple[str, str]  # (connection, group)


class Groups:
    """Of the schemas of one database, each read once. In a connection's thread."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._known: dict[str, Group | None] = {}

    def of(self, name: str) -> Group | None:
        """None for a schema that is not there or not valid."""
        if name not in self._known:
            self._known[name] = None
            body = rows.select_schema(self._db, name)
            if body is not None:
                with contextlib.suppress(ValueError, KeyError, TypeError):
                    found = orjson.loads(body)
                    self._known[name] = str(found["connection"]), str(found["group"])
        return self._known[name]
