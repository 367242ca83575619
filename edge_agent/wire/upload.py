"""The body of `POST /api/fleet/edge/{id}/data`: one head and 1…N batches, byte for byte as stored."""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError

from edge_agent.wire.batch import HASH_BYTES
from edge_agent.wire.errors import WireError
from edge_agent.wire.messages import Head
from edge_agent.wire.sides import MAX_WALL_MS

CONTENT_TYPE: Final = "application/vnd.holdfast.batches"
MAX_BODY_BYTES: Final = 1 << 20
MAX_SEQ: Final = (1 << 40) - 1
MAGIC: Final = b"HFB1"
_PREFIX: Final = struct.Struct("<4sI")
_ITEM: Final = struct.Struct(f"<QBBHIIIqq{HASH_BYTES}s")
ITEM_BYTES: Final = _ITEM.size


@dataclass(frozen=True, slots=True)
class BatchItem:
    """One named batch on the wire. `body` may be a view of the request's bytes."""

    seq: int
    kind: int
    codec: int
    raw_bytes: int
    samples: int
    t0: int
    t1: int
    hash: bytes
    body: bytes | memoryview


def encode_upload(head: Head, items: Sequence[BatchItem]) -> bytes:
    text = head.model_dump_json().encode()
    parts: list[bytes | memoryview] = [_PREFIX.pack(MAGIC, len(text)), text]
    for item in items:
        parts.append(
            _ITEM.pack(
                item.seq, item.kind, item.codec, 0, len(item.body), item.raw_bytes,
                item.samples, item.t0, item.t1, item.hash,
            )
        )  # fmt: skip
        parts.append(item.body)
    return b"".join(parts)


def decode_upload(data: bytes) -> tuple[Head, list[BatchItem]]:
    """Raises WireError where the bytes are not a whole upload. Hashes are not checked here."""
    if len(data) < _PREFIX.size:
        raise WireError("the body is too short for a head")
    magic, length = _PREFIX.unpack_from(data)
    start = _PREFIX.size + length
    if magic != MAGIC or start > len(data):
        raise WireError("the body does not begin with a batch head")
    try:
        head = Head.model_validate_json(data[_PREFIX.size : start])
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise WireError(f"the head is not valid: {first['loc']}: {first['msg']}") from error
    items = list(_items(data, start))
    if not items:
        raise WireError("the body holds no batch")
    return head, items


def _items(data: bytes, at: int) -> Iterator[BatchItem]:
    view = memoryview(data)
    while at < len(data):
        if at + _ITEM.size > len(data):
            raise WireError("a batch's head is cut short")
        seq, kind, codec, _, length, raw, samples, t0, t1, digest = _ITEM.unpack_from(data, at)
        at += _ITEM.size
        if at + length > len(data):
            raise WireError(f"batch {seq} is cut short")
        if not 0 < seq <= MAX_SEQ:
            raise WireError(f"{seq} is not a batch number")
        if not 0 <= t0 <= t1 <= MAX_WALL_MS:
            raise WireError(f"batch {seq} has times out of range: {t0}, {t1}")
        yield BatchItem(seq, kind, codec, raw, samples, t0, t1, digest, view[at : at + length])
        at += length
