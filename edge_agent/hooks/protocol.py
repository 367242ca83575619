"""Messages between the agent and a hook worker, the same in both directions. Pure.

A message is `u32 length, u32 id` (big-endian; length of what follows), then `u32 head length`, a head in
JSON, and a blob of bytes. An answer has the id of its request; there is one request at a time. Rows travel
in the blob as the schema lays them out, so that no value is turned into text on the way.

A worker's first message has id 0 and tells how it is confined: {ok, layers: {name: `on` or why not}}.

Requests (`op`), and their answers (`ok: true`; else `error` and the worker goes on):

load    {hook, point, source}                     → {outputs: [[name, type], …], inputs: [pattern, …]}
schema  {schema: N}, blob: canonical bytes         → {}
schema  {schema: N, like: M, of: [connection, group, unit id]}   → {}   a group with the tags of schema M
plan    {hook, schema, outputs: [Out, …]}          → {}
plan    {hook, schema, like: M}                    → {}   the outputs that the hook has on schema M
          Out = [name, wire type, count, index of the tag that it replaces or −1]
          in the order of the outputs' row: fixed-size types by size descending, then text types.
          schema: −1 for points that are not given frames.
frames  {hook, state?, frames: [Frame, …]}, blob: rows one after the other
          Frame = {s: schema, t: wall ms, m: mono ns, n: row bytes (0: no row), p?: present bitmap in hex,
                   q?: [[first, count, quality, null 0|1], …], x?: [text values], run: 0|1,
                   k?: its number in its group; without, or after a hole, nothing before it is remembered}
          run 0: of on_cycle, a group whose values its INPUTS name, without a call.
                                                   → {results: [Result, …], state?, prints?, alerts?}, blob
calls   {hook, state?, calls: [Call, …]}           → {results: [Result, …], state?, prints?, alerts?}, blob
          Call = {t: wall ms, v?: {"connection.tag": [value, quality, wall ms], …}, and what the point has}
          on_connect {connection, driver, address, state}; on_alert {code, message, connection, data};
          on_schedule {scheduled: wall ms}. v: what INPUTS name, in engineering values; null where bad;
          without it those of the call before.

Result of a frame that was run (null for `run: 0`), in order:
  {n: bytes of its outputs' row in the blob, p: outputs present (hex bitmap over outputs), q?: runs over
   outputs, x?: text outputs, d?: hex bitmap over the schema's tags of those that are dropped}
  or {error: {type, message, line, traceback}}: nothing of it counts, and the state is as it was before.
alerts: [{code, message, data, i: index of the frame or call}, …]. prints: the last of what was printed.
state: there in a request after a (re)start or where the parent's differs; in an answer where it changed.

An outputs' row is little-endian (`Order.DCBA`); bytes of null outputs are zeros.
"""

import re
import struct
from typing import Any, Final

import orjson

HEAD: Final = struct.Struct("!II")
_SIZE: Final = struct.Struct("!I")
# Of one message. The parent gives a worker frames in parts that keep below.
MAX_REQUEST_BYTES: Final = 8 << 20
# Of an answer beside its rows, whose size the parent knows beforehand.
MAX_ANSWER_HEAD_BYTES: Final = 1 << 20
# Of such a head: to read values takes the agent longer than to read bytes. Those within texts count too.
MAX_ANSWER_BRACKETS: Final = 1 << 14
MAX_ANSWER_COMMAS: Final = 1 << 17
MAX_STATE_BYTES: Final = 16 << 10
MAX_PRINT_CHARACTERS: Final = 4_096
MAX_ALERTS: Final = 20
MAX_OUTPUTS: Final = 20_000
ALERT_CODE: Final = re.compile(r"[a-z0-9_]([a-z0-9_.-]{0,62}[a-z0-9_])?")


class ProtocolError(Exception):
    """Bytes that are no message."""


def encode(number: int, head: Any, blob: bytes = b"") -> bytes:
    """Raises TypeError where the head holds what JSON does not; NaN, which belongs into no head, is null."""
    text = orjson.dumps(head)
    return HEAD.pack(_SIZE.size + len(text) + len(blob), number) + _SIZE.pack(len(text)) + text + blob


def is_laborious(message: bytes | bytearray, end: int) -> bool:
    """Whether the head of an answer, which ends there, would hold up the agent while it is read."""
    start = HEAD.size + _SIZE.size
    if end - start <= MAX_ANSWER_BRACKETS:
        return False
    brackets = message.count(b"[", start, end) + message.count(b"{", start, end)
    return brackets > MAX_ANSWER_BRACKETS or message.count(b",", start, end) > MAX_ANSWER_COMMAS


def decode(body: bytes | memoryview) -> tuple[Any, memoryview]:
    """Head and blob of what stands behind `HEAD`. Raises ProtocolError."""
    view = memoryview(body)
    if len(view) < _SIZE.size:
        raise ProtocolError("a message without a head")
    (size,) = _SIZE.unpack_from(view)
    if size > len(view) - _SIZE.size:
        raise ProtocolError("a head that is longer than its message")
    try:
        head = orjson.loads(view[_SIZE.size : _SIZE.size + size])
    except ValueError as error:
        raise ProtocolError(f"a head that is not JSON: {error}") from error
    return head, view[_SIZE.size + size :]
