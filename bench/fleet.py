"""A fleet's requests on a plan that does not wait for answers: each latency counts from the moment at which
the request was due, whatever the centre or the generator were busy with (no coordinated omission).

One thread, epoll and bytes: a request costs it less than it costs the centre. Connections come from several
addresses of loopback, since an address has 28,000 ports, and those of closed connections rest for a minute.
"""

import heapq
import random
import select
import socket
import time
from array import array
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

import orjson

from bench.agents import Agent

ADDRESSES: Final = 24
# What a process may have open here is 20,000 files: the centre's own and a margin stay free.
MAX_OPEN: Final = 15_000
# An agent's intervals are shorter by up to this share, at random (edge_agent.uplink.beat).
_JITTER: Final = 0.1
# Every so many polls an agent asks as if it had no config.
_WHOLE_EVERY: Final = 100
_ANSWER_SECONDS: Final = 30.0
# IP_BIND_ADDRESS_NO_PORT of linux/in.h: the port is chosen at the connect, by both addresses.
_NO_PORT: Final = 24
_TICK_SECONDS: Final = 1.0


class Kind(IntEnum):
    HEARTBEAT = 0
    POLL = 1
    UPLOAD = 2
    SCHEMA = 3


@dataclass(frozen=True, slots=True)
class Plan:
    """Seconds. linger: how long an agent keeps a connection after an answer; 0: it closes at once.
    upload_interval: None without samples."""

    heartbeat_interval: float = 30.0
    poll_interval: float = 60.0
    upload_interval: float | None = None
    samples: int = 200
    linger: float = 0.0

    def intervals(self) -> list[tuple[Kind, float]]:
        found = [(Kind.HEARTBEAT, self.heartbeat_interval), (Kind.POLL, self.poll_interval)]
        return found + ([(Kind.UPLOAD, self.upload_interval)] if self.upload_interval else [])

    def rate(self, agents: int) -> float:
        """Requests a second."""
        return sum(agents / (interval * (1 - _JITTER / 2)) for _, interval in self.intervals())


@dataclass(slots=True)
class Told:
    """What came of the requests that were due in the measured time. seconds: array of each kind. early:
    errors of those before."""

    seconds: dict[Kind, "array[float]"] = field(default_factory=lambda: {kind: array("d") for kind in Kind})
    lag: "array[float]" = field(default_factory=lambda: array("d"))
    errors: Counter[str] = field(default_factory=Counter)
    early: Counter[str] = field(default_factory=Counter)
    most_open: int = 0
    connects: int = 0


@dataclass(eq=False, slots=True)
class _Exchange:
    """A connection, and the request on it. out: what is not sent yet; held_up: the kernel takes no more now.
    free_since: no request is under way."""

    link: socket.socket
    agent: Agent
    kind: Kind = Kind.HEARTBEAT
    due: float = 0.0
    out: bytes = b""
    held_up: bool = False
    got: bytes = b""
    whole: bool = False
    free_since: float | None = None


class Fleet:
    def __init__(self, address: tuple[str, int], agents: Sequence[Agent], plan: Plan) -> None:
        self._address = address
        self._agents = agents
        self._plan = plan
        self._interval = dict(plan.intervals())
        self._random = random.Random(1)
        self._poller = select.epoll()
        self._open: dict[int, _Exchange] = {}
        self._idle: dict[int, _Exchange] = {}  # by agent number, the one free longest first
        self._waiting: deque[tuple[float, Agent, Kind]] = deque()
        self._due: list[tuple[float, int, Kind]] = []
        self._measured_from = float("inf")
        self._measured_until = float("inf")
        self.told = Told()

    def run(self, ramp: float, warm: float, seconds: float, tick: Callable[[float], None]) -> None:
        """Begins the agents one after the other within `ramp` seconds. tick: called about once a second, with
        the seconds since the measured time began (negative before)."""
        begin = time.perf_counter()
        self._measured_from, self._measured_until = begin + warm, begin + warm + seconds
        for agent in self._agents:
            start = begin + ramp * self._random.random()
            for kind, interval in self._interval.items():
                first = 0.0 if kind is Kind.HEARTBEAT else self._random.uniform(0.1, 1.0) * interval
                self._due.append((start + first, agent.number, kind))
        heapq.heapify(self._due)
        next_tick = begin
        while (now := time.perf_counter()) < self._measured_until or self._unanswered(now):
            if now >= next_tick:
                next_tick += _TICK_SECONDS
                self._expire(now)
                tick(now - self._measured_from)
            self._begin_due(now)
            wait = min(next_tick, self._due[0][0]) - time.perf_counter()
            for number, _ in self._poller.poll(max(0.0, min(wait, 0.05)), 1024):
                self._serve(number)
        self._close()

    def _unanswered(self, now: float) -> bool:
        """Whether measured requests are under way that may still be answered in time."""
        if now > self._measured_until + _ANSWER_SECONDS:
            return False
        return any(e.free_since is None and e.due < self._measured_until for e in self._open.values())

    def prepare(self, kind: Kind, agents: Sequence[Agent], at_once: int = 16) -> None:
        """One request of each agent, at most `at_once` under way. Raises ValueError where one fails."""
        left = deque(agents)
        while left or any(exchange.free_since is None for exchange in self._open.values()):
            busy = sum(exchange.free_since is None for exchange in self._open.values())
            while left and busy < at_once:
                self._begin(time.perf_counter(), left.popleft(), kind)
                busy += 1
            for number, _ in self._poller.poll(1.0):
                self._serve(number)
            self._let_go(time.perf_counter(), 0.0)
        if self.told.errors:
            raise ValueError(f"the centre does not take {kind.name}: {self.told.errors}")

    # --- sending ------------------------------------------------------------------------------------

    def _begin_due(self, now: float) -> None:
        heap, agents = self._due, self._agents
        while heap[0][0] <= now:
            due, number, kind = heap[0]
            following = due + self._interval[kind] * (1 - _JITTER * self._random.random())
            heapq.heapreplace(heap, (following, number, kind))
            if due < self._measured_until:
                self._waiting.append((due, agents[number], kind))
        while self._waiting and (len(self._open) < MAX_OPEN or self._waiting[0][1].number in self._idle):
            self._begin(*self._waiting.popleft())
        if self._waiting and self._idle:
            self._let_go(now, 0.0, len(self._waiting))

    def _begin(self, due: float, agent: Agent, kind: Kind) -> None:
        if self._measured_from <= due < self._measured_until:
            self.told.lag.append(time.perf_counter() - due)
        exchange = self._idle.pop(agent.number, None) or self._connect(agent)
        exchange.kind, exchange.due, exchange.free_since, exchange.got = kind, due, None, b""
        exchange.out = self._request(exchange)
        self._send(exchange)

    def _request(self, exchange: _Exchange) -> bytes:
        agent = exchange.agent
        match exchange.kind:
            case Kind.HEARTBEAT:
                return agent.heartbeat()
            case Kind.POLL:
                exchange.whole = (agent.polls + agent.number) % _WHOLE_EVERY == 0
                return agent.poll(whole=exchange.whole)
            case Kind.SCHEMA:
                return agent.schema()
            case Kind.UPLOAD:
                return agent.upload(self._random.choices(range(1000, 1050), k=self._plan.samples))

    def _connect(self, agent: Agent) -> _Exchange:
        link = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        link.setblocking(False)
        link.setsockopt(socket.IPPROTO_IP, _NO_PORT, 1)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link.bind((f"127.0.0.{2 + agent.number % ADDRESSES}", 0))
        link.connect_ex(self._address)
        exchange = _Exchange(link, agent)
        self._open[link.fileno()] = exchange
        self._poller.register(link.fileno(), select.EPOLLIN)
        self.told.connects += 1
        self.told.most_open = max(self.told.most_open, len(self._open))
        return exchange

    def _send(self, exchange: _Exchange) -> None:
        """On loopback the connection is mostly there when `connect` returns."""
        try:
            exchange.out = exchange.out[exchange.link.send(exchange.out) :]
        except BlockingIOError:
            pass
        except OSError as error:
            self._fail(exchange, type(error).__name__)
            return
        if bool(exchange.out) is not exchange.held_up:
            exchange.held_up = bool(exchange.out)
            wanted = select.EPOLLIN | (select.EPOLLOUT if exchange.held_up else 0)
            self._poller.modify(exchange.link.fileno(), wanted)

    # --- answers ------------------------------------------------------------------------------------

    def _serve(self, number: int) -> None:
        exchange = self._open.get(number)
        if exchange is None:
            return
        if exchange.out:
            self._send(exchange)
            return
        try:
            part = exchange.link.recv(65536)
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(exchange, type(error).__name__)
            return
        if not part:
            self._drop(exchange) if exchange.free_since is not None else self._fail(exchange, "closed")
            return
        exchange.got += part
        head, separator, body = exchange.got.partition(b"\r\n\r\n")
        if separator and len(body) >= content_length(head):
            self._answered(exchange, head, body)

    def _answered(self, exchange: _Exchange, head: bytes, body: bytes) -> None:
        now = time.perf_counter()
        wrong = fault(exchange.kind, exchange.agent, exchange.whole, head, body)
        if self._measured_from <= exchange.due < self._measured_until:
            self.told.seconds[exchange.kind].append(now - exchange.due)
        if wrong:
            self._wrong(exchange, wrong)
        if self._plan.linger <= 0 or exchange.agent.number in self._idle:
            self._drop(exchange)
            return
        exchange.free_since = now
        self._idle[exchange.agent.number] = exchange

    def _wrong(self, exchange: _Exchange, what: str) -> None:
        measured = self._measured_from <= exchange.due < self._measured_until
        (self.told.errors if measured or self._measured_from == float("inf") else self.told.early)[what] += 1

    def _fail(self, exchange: _Exchange, why: str) -> None:
        self._wrong(exchange, f"{exchange.kind.name} {why}")
        self._drop(exchange)

    def _drop(self, exchange: _Exchange) -> None:
        self._open.pop(exchange.link.fileno(), None)
        if self._idle.get(exchange.agent.number) is exchange:
            del self._idle[exchange.agent.number]
        exchange.link.close()

    def _expire(self, now: float) -> None:
        self._let_go(now, self._plan.linger)
        for exchange in [e for e in self._open.values() if e.free_since is None]:
            if now - exchange.due > _ANSWER_SECONDS:
                self._fail(exchange, "no answer in time")

    def _let_go(self, now: float, linger: float, at_most: int = 1 << 30) -> None:
        """Closes connections that were idle for `linger` seconds, the longest first."""
        for exchange in list(self._idle.values())[:at_most]:
            if exchange.free_since is None or now - exchange.free_since < linger:
                return
            self._drop(exchange)

    def _close(self) -> None:
        for exchange in list(self._open.values()):
            self._drop(exchange)
        self._poller.close()


def content_length(head: bytes) -> int:
    _, found, rest = head.lower().partition(b"\r\ncontent-length:")
    return int(rest.partition(b"\r\n")[0]) if found else 0


def fault(kind: Kind, agent: Agent, whole: bool, head: bytes, body: bytes) -> str | None:
    """What is wrong with an answer; None: it is the one that was due."""
    status = head[9:12].decode("ascii", "replace")
    name = kind.name
    if kind is Kind.POLL:
        wanted = "200" if whole else "304"
        if status != wanted:
            return f"{name} {status} for {wanted}"
        if f'"{agent.etag}"'.encode() not in head:
            return f"{name} without its ETag"
        return f"{name} of another" if whole and agent.id.encode() not in body else None
    if kind is Kind.SCHEMA:
        return None if status in ("201", "204") else f"{name} {status}"
    if status != "200":
        return f"{name} {status}"
    answer = orjson.loads(body)
    if answer.get("config_etag") != agent.etag or not answer.get("centre") or answer.get("resend") != []:
        return f"{name} with a wrong answer"
    if kind is Kind.UPLOAD:
        seq = agent.edge.next - 1 if agent.edge else 0
        return None if any(lo <= seq <= hi for lo, hi in answer["acked"]) else f"{name} not acknowledged"
    return None if answer["now"] > 0 else f"{name} without a time"
