"""Query parameters that many routes share."""

import re
from typing import Annotated, Any, Final

from pydantic import Field

from central_sync.api.route import Call, Query
from central_sync.services.errors import NotFound

_VERSION: Final = re.compile(r"[1-9][0-9]{0,17}")

Limit = Annotated[int, Field(ge=1, le=1_000)]
Cursor = Annotated[
    str, Field(max_length=2_000, pattern=r"^[A-Za-z0-9_-]*$", description="`next` of the page before.")
]
Time = Annotated[int, Field(ge=0, lt=1 << 53)]


class PageQuery(Query):
    """Of lists that are not filtered."""

    limit: Limit = 100
    cursor: Cursor | None = None


def version_in(call: Call[Any], of: str) -> int:
    """The number in the path. Raises NotFound where it can be none; of: what would have it."""
    text = call.request.match_info["version"]
    if not _VERSION.fullmatch(text):
        raise NotFound("unknown_version", f"{of} has no version {text[:40]}")
    return int(text)
