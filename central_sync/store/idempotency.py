"""Idempotency-Keys: the first request's answer is kept in its own transaction and given to every repeat."""

import sqlite3
from collections.abc import Callable
from typing import Final, TypeVar

from pydantic import BaseModel

from central_sync.services.database import Once
from central_sync.services.errors import Conflict

KEPT_MS: Final = 86_400_000
M = TypeVar("M", bound=BaseModel)


def answer_once(
    connection: sqlite3.Connection,
    key: Once | None,
    model: type[M],
    now: int,
    work: Callable[[], M],
) -> M:
    """What `work` returns, or what it returned when the key came first. Raises Conflict where the key came
    with another request. Call it within the transaction of `work`."""
    if key is None:
        return work()
    connection.execute("DELETE FROM idempotency WHERE created < ?", (now - KEPT_MS,))
    sql = "SELECT request, answer FROM idempotency WHERE owner = ? AND key = ?"
    known = connection.execute(sql, (key.owner, key.key)).fetchone()
    if known is not None:
        if known[0] != key.request:
            raise Conflict("key_reused", "this Idempotency-Key came with another request before")
        return model.model_validate_json(known[1])
    answer = work()
    connection.execute(
        "INSERT INTO idempotency (owner, key, request, answer, created) VALUES (?, ?, ?, ?, ?)",
        (key.owner, key.key, key.request, answer.model_dump_json(by_alias=True).encode(), now),
    )
    return answer
