"""Cursors of lists: opaque to clients, the key of the last item shown inside. Lists go on behind it,
so that what comes and goes between two pages shifts nothing."""

import base64
import binascii

import orjson

from central_sync.services.errors import Invalid


def encode_cursor(key: list[str | int]) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(key)).rstrip(b"=").decode()


def decode_cursor(text: str | None, *types: type) -> list[str | int] | None:
    """Raises Invalid where `text` is not a cursor with keys of these types."""
    if text is None:
        return None
    try:
        key = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (binascii.Error, ValueError) as error:
        raise Invalid("bad_cursor", "the cursor is not one that this API gave") from error
    if not isinstance(key, list) or [type(part) for part in key] != list(types):
        raise Invalid("bad_cursor", "the cursor is not one of this list")
    if any(isinstance(part, int) and not 0 <= part < 1 << 63 for part in key):
        raise Invalid("bad_cursor", "the cursor is not one that this API gave")
    return key
