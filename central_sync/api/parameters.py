"""Query parameters that many routes share."""

from typing import Annotated

from pydantic import Field

from central_sync.api.route import Query

Limit = Annotated[int, Field(ge=1, le=1_000)]
Cursor = Annotated[
    str, Field(max_length=2_000, pattern=r"^[A-Za-z0-9_-]*$", description="`next` of the page before.")
]
Time = Annotated[int, Field(ge=0, lt=1 << 53)]


class PageQuery(Query):
    """Of lists that are not filtered."""

    limit: Limit = 100
    cursor: Cursor | None = None
