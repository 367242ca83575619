"""What schemathesis needs to know of this API: bodies that are not JSON are sent as they are drawn."""

from typing import Any

import schemathesis

RAW = ("application/vnd.holdfast.batches", "application/octet-stream", "text/csv", "application/gzip")


@schemathesis.serializer(*RAW)
def raw(_: schemathesis.SerializationContext, value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode(errors="replace")
