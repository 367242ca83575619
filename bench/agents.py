"""The bytes that simulated agents send: what a real agent's client puts on the wire, with each agent's own
names and figures. The heartbeat is made from the message's model, so that a field that is added is sent.
"""

import time
from dataclasses import dataclass, field
from typing import Final

from edge_agent.wire.messages import (
    BufferReport,
    ClockReport,
    ConfigReport,
    ConfigState,
    ConnectionReport,
    Head,
    Heartbeat,
    HostReport,
    UnitReport,
)
from edge_agent.wire.schema import Schema
from edge_agent.wire.upload import CONTENT_TYPE
from tests.unit.central.edge import Edge, uint16_schema

# Numbers of the template that are another one in each heartbeat, and texts that are each agent's own.
_FIRST: Final = 700_000_000
_FIGURES: Final = (
    "now", "uptime", "cpu", "memory", "disk", "commits", "cycles", "samples", "next", "read",
)  # fmt: skip
_TEXTS: Final = ("run", "boot", "machine", "epoch", "etag")
_CLIENT: Final = b"Accept: */*\r\nAccept-Encoding: gzip, deflate\r\nUser-Agent: aiohttp/3.14\r\n"


def _template() -> bytes:
    """A heartbeat of an agent with three connections; `%(name)d` and `%(name)b` for what differs."""
    number = {name: _FIRST + index for index, name in enumerate(_FIGURES)}
    text = {name: f"<{name}>" for name in _TEXTS}
    unit = UnitReport(unit_id=1, state="answering", groups=2, good_cycles=number["cycles"])
    connections = [
        ConnectionReport(
            name=f"press{n}", driver="modbus", state="connected", address=f"192.0.2.{n}:502",
            since=1_800_000_000_000, latency_ms=2.31, samples=number["samples"], units=[unit],
        )
        for n in (1, 2, 3)
    ]  # fmt: skip
    head = Head(
        epoch=text["epoch"], no=5, run=text["run"], boot=text["boot"], floor=number["next"],
        next=number["next"], now=number["now"], sync=True,
    )  # fmt: skip
    beat = Heartbeat(
        now=number["now"], version="0.1.0", protocol=1, run=text["run"], boot=text["boot"],
        machine=text["machine"], uptime_seconds=number["uptime"], interval_seconds=30.0,
        host=HostReport(
            cpu_percent=number["cpu"], memory_bytes=number["memory"], memory_total_bytes=4 << 30,
            process_cpu_percent=0.5, process_memory_bytes=50 << 20, disk_free_bytes=number["disk"],
            disk_total_bytes=64 << 30, load_1m=0.31,
        ),
        clock=ClockReport(sync=True, offset_ms=0.4),
        buffer=BufferReport(
            size_bytes=1 << 24, quota_bytes=2 << 30, flush_interval_seconds=1.0, commits=number["commits"],
            free_bytes=8 << 30,
        ),
        config=ConfigReport(
            state=ConfigState.APPLIED, seen_version=1, applied_version=1, etag=text["etag"],
            running_hash="d" * 64,
        ),
        connections_ok=3, connections_total=3, connections=connections, heads=[head],
        read_samples=number["read"], labels={"site": "north", "line": "a", "company": "acme"},
    )  # fmt: skip
    body = beat.model_dump_json().encode().replace(b"%", b"%%")
    for name in _FIGURES:
        body = body.replace(b"%d" % number[name], b"%%(%s)d" % name.encode())
    for name in _TEXTS:
        body = body.replace(text[name].encode(), b"%%(%s)b" % name.encode())
    return body


_BEAT: Final = _template()
SCHEMA_TAGS: Final = 200


@dataclass(slots=True)
class Agent:
    """One simulated agent. edge: its buffer, where it sends samples. beats, polls: how many it has sent."""

    number: int
    id: str
    token: str
    etag: str
    edge: Edge | None = field(default=None, repr=False)
    beats: int = 0
    polls: int = 0

    def _head(self, method: bytes, path: bytes) -> bytes:
        return b"%b /api/fleet/edge/%b%b HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %b\r\n%b" % (
            method, self.id.encode(), path, self.token.encode(), _CLIENT,
        )  # fmt: skip

    def _post(self, path: bytes, kind: bytes, body: bytes) -> bytes:
        lines = b"Content-Length: %d\r\nContent-Type: %b\r\n\r\n" % (len(body), kind)
        return self._head(b"POST", path) + lines + body

    def heartbeat(self) -> bytes:
        """Without samples nothing comes into the buffer: the head stays, the figures move."""
        self.beats += 1
        n = self.beats
        digits = b"%08x" % self.number
        body = _BEAT % {
            b"run": b"a" * 24 + digits, b"boot": b"b" * 24 + digits, b"machine": b"c" * 24 + digits,
            b"epoch": self._epoch(), b"etag": self.etag.encode(),
            b"now": time.time_ns() // 1_000_000, b"uptime": 1_000 + 30 * n,
            b"cpu": (self.number + 7 * n) % 100,
            b"memory": 3_000_000_000 + 4096 * ((self.number * 7919 + n * 104_729) % 50_000),
            b"disk": 8_000_000_000 - 4096 * n, b"commits": 300 + 30 * n, b"cycles": 300 + 30 * n,
            b"samples": 6_000 + 600 * n, b"next": self.edge.next if self.edge else 1,
            b"read": 18_000 + 1_800 * n,
        }  # fmt: skip
        return self._post(b"/heartbeat", b"application/json", body)

    def _epoch(self) -> bytes:
        return self.edge.epoch.encode() if self.edge else b"e" * 24 + b"%08x" % self.number

    def poll(self, *, whole: bool) -> bytes:
        """whole: as an agent that has no config yet."""
        self.polls += 1
        known = b"" if whole else b'If-None-Match: "%b"\r\n' % self.etag.encode()
        return self._head(b"GET", b"/config") + known + b"\r\n"

    def schema(self) -> bytes:
        schema = self._buffer().schema
        path = b"/schemas/%b" % schema.hash.encode()
        lines = b"Content-Length: %d\r\nContent-Type: application/json\r\n\r\n" % len(schema.canonical)
        return self._head(b"PUT", path) + lines + schema.canonical

    def upload(self, values: list[int]) -> bytes:
        """One batch with one frame of these values; it is acknowledged before the next is due, or it counts
        as an error."""
        edge = self._buffer()
        item = edge.make(values, wall_ms=time.time_ns() // 1_000_000)
        edge.floor = max(1, edge.next - 1)
        return self._post(b"/data", CONTENT_TYPE.encode(), edge.upload(item))

    def _buffer(self) -> Edge:
        assert self.edge is not None, "this agent sends no samples"
        return self.edge


def buffer_of(number: int, device: str, schema: Schema) -> Edge:
    digits = f"{number:08x}"
    return Edge(device=device, epoch="e" * 24 + digits, no=5, run="a" * 24 + digits, schema=schema)


def schema_of(samples: int) -> Schema:
    return uint16_schema(tags=samples)
