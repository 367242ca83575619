"""One worker process, seen from the agent: begun, asked one thing at a time, and ended.

Whatever comes from it is bounded before it is read, and believed by nobody here: what an answer says is the
caller's to judge. Any fault ends the process, since nobody knows afterwards what it is. No call blocks the
loop, and none needs a task or a thread: one reader on a socket, and one timer.
"""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Collection, Coroutine, Sequence
from typing import Any, Final, Self

from edge_agent.hooks.errors import BadReply, TimedOut, WorkerGone
from edge_agent.hooks.layers import LAYERS
from edge_agent.hooks.protocol import (
    HEAD,
    MAX_ANSWER_HEAD_BYTES,
    MAX_REQUEST_BYTES,
    ProtocolError,
    decode,
    encode,
    is_laborious,
)

START_SECONDS: Final = 10.0
_ENTRY: Final = ("-I", "-X", "utf8", "-m", "edge_agent.hooks.worker")
_CHUNK_BYTES: Final = 1 << 16
_BURY_SECONDS: Final = (0.001, 0.05)
_MOST_WORDS: Final = 2_000
_MOST_REASON: Final = 200


class WorkerProcess:
    """Begun by `start`. `call` may be awaited by one task at a time.

    pid: its process id. layers: of the sandbox, each `on` or why it is not, as its first message told, before
    it knew any script. spawn_seconds: from the exec to that message.
    """

    def __init__(self, process: "subprocess.Popen[bytes]", channel: socket.socket) -> None:
        self._process = process
        self._channel = channel
        self._loop = asyncio.get_running_loop()
        self._began = time.monotonic()
        self._number = 0
        self._most_bytes = 0
        self._received = bytearray()
        self._unsent: memoryview | None = None
        self._waiter: asyncio.Future[tuple[Any, memoryview]] | None = None
        self._fault: WorkerGone | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = 0.0
        self._allowed_seconds = 0.0
        self._buried: asyncio.Future[None] = self._loop.create_future()
        self.pid = process.pid
        self.layers: dict[str, str] = {}
        self.spawn_seconds = 0.0
        self._loop.add_reader(channel.fileno(), self._readable)

    @classmethod
    async def start(
        cls,
        deadline_seconds: float = START_SECONDS,
        layers: Collection[str] = LAYERS,
        entry: Sequence[str] = _ENTRY,
    ) -> Self:
        """A worker that is confined and waits for its first request. `layers` and `entry` are for tests.

        The thread that calls must live as long as the agent: the kernel ends a worker with it. Raises
        WorkerGone where there is none, with what it said last.
        """
        try:
            ours, theirs = socket.socketpair()
        except OSError as error:
            raise WorkerGone(f"no process can be started: {error.strerror}") from error
        with theirs:
            try:
                process = subprocess.Popen(  # noqa: ASYNC220 a few milliseconds: the child is not waited for
                    [sys.executable, *entry, str(os.getpid()), *layers],
                    stdin=theirs.fileno(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                    # No session of its own: where the kernel shares the processor between sessions, how
                    # nice a process is counts within its session alone.
                    env={}, cwd="/", close_fds=True, process_group=0,
                )  # fmt: skip
            except OSError as error:
                ours.close()
                raise WorkerGone(f"no process can be started: {error.strerror}") from error
        ours.setblocking(False)
        worker = cls(process, ours)
        await worker._greet(deadline_seconds)
        return worker

    def call(
        self, head: Any, blob: bytes = b"", *, deadline_seconds: float, most_answer_bytes: int
    ) -> Coroutine[Any, Any, tuple[Any, memoryview]]:
        """Head and blob of the answer. most_answer_bytes: that its blob may have; a head has its own bound.

        Raises TimedOut, WorkerGone and BadReply; the process is gone then, as it is where this is cancelled.
        """
        self._number = self._number + 1 & 0xFFFF_FFFF
        message = encode(self._number, head, blob)
        if len(message) > MAX_REQUEST_BYTES:
            # Frames come in parts; what INPUTS name does not.
            self._end(WorkerGone(f"a call of {len(message)} bytes, where {MAX_REQUEST_BYTES} are the most"))
        return self._exchange(message, deadline_seconds, most_answer_bytes)

    @property
    def fault(self) -> WorkerGone | None:
        """Why it can be asked nothing more; None while it can."""
        return self._fault

    def kill(self) -> None:
        """At once, whatever it does. A call that waits raises WorkerGone."""
        self._end(WorkerGone("it was ended by the agent"))

    async def close(self) -> None:
        """Killed, and gone from the table of processes."""
        self.kill()
        await asyncio.shield(self._buried)

    # --- one exchange -----------------------------------------------------------------------------------

    async def _exchange(
        self, message: bytes, deadline_seconds: float, most_answer_bytes: int
    ) -> tuple[Any, memoryview]:
        if self._fault is not None:
            raise type(self._fault)(str(self._fault))
        assert self._waiter is None, "one request at a time"
        self._most_bytes = MAX_ANSWER_HEAD_BYTES + most_answer_bytes + 4
        waiter = self._waiter = self._loop.create_future()
        self._watch(deadline_seconds)
        try:
            if message:
                self._send(message)
            answer: tuple[Any, memoryview] = await waiter
            return answer
        except asyncio.CancelledError:
            self._end(WorkerGone("whoever asked it was cancelled"))
            raise
        finally:
            self._waiter = None

    async def _greet(self, deadline_seconds: float) -> None:
        stream = self._process.stderr
        assert stream is not None
        with stream:
            try:
                head, _ = await self._exchange(b"", deadline_seconds, 0)
            except WorkerGone as gone:
                await self.close()
                words = _last_words(stream.fileno())
                raise type(gone)(f"{gone}: {words}" if words else str(gone)) from None
        told = head.get("layers") if isinstance(head, dict) else None
        if not isinstance(told, dict):
            self._end(BadReply("it did not tell how it is confined"))
            await self.close()
            raise BadReply("it did not tell how it is confined")
        self.layers = {name: str(told.get(name, "not reported"))[:_MOST_REASON] for name in LAYERS}
        self.spawn_seconds = time.monotonic() - self._began

    def _send(self, message: bytes) -> None:
        try:
            sent = self._channel.send(message)
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # it is gone: the reader tells
        if sent < len(message):
            self._unsent = memoryview(message)[sent:]
            self._loop.add_writer(self._channel.fileno(), self._writable)

    def _writable(self) -> None:
        assert self._unsent is not None
        try:
            self._unsent = self._unsent[self._channel.send(self._unsent) :]
        except BlockingIOError:
            return
        except OSError:
            self._unsent = None
        if not self._unsent:
            self._loop.remove_writer(self._channel.fileno())

    def _readable(self) -> None:
        try:
            part = self._channel.recv(_CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:
            part = b""
        if not part:
            self._ended()
        elif self._waiter is None or self._waiter.done():
            self._end(BadReply("it answered what nobody asked"))
        else:
            self._received += part
            self._judge(self._waiter)

    def _judge(self, waiter: "asyncio.Future[tuple[Any, memoryview]]") -> None:
        got = self._received
        if len(got) < HEAD.size:
            return
        length, number = HEAD.unpack_from(got)
        if number != self._number:
            self._end(BadReply("it answered another request"))
        elif length > self._most_bytes:
            self._end(BadReply(f"an answer of {length} bytes, where {self._most_bytes} are the most"))
        elif len(got) > HEAD.size + length:
            self._end(BadReply("it answered more than once"))
        elif len(got) == HEAD.size + length:
            self._received = bytearray()
            if (size := int.from_bytes(got[HEAD.size : HEAD.size + 4])) > MAX_ANSWER_HEAD_BYTES:
                self._end(BadReply(f"a head of {size} bytes, where {MAX_ANSWER_HEAD_BYTES} are the most"))
                return
            if is_laborious(got, HEAD.size + 4 + size):
                self._end(BadReply("a head of more values than an answer has"))
                return
            try:
                waiter.set_result(decode(memoryview(got)[HEAD.size :]))
            except ProtocolError as error:
                self._end(BadReply(str(error)))

    # --- the end ----------------------------------------------------------------------------------------

    def _watch(self, seconds: float) -> None:
        """A timer outlives the calls that end in time: to set one and cancel it takes a tenth of a call."""
        self._allowed_seconds = seconds
        self._deadline = self._loop.time() + seconds
        if self._timer is None or self._timer.when() > self._deadline:
            self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._deadline, self._timed)

    def _timed(self) -> None:
        self._timer = None
        if self._waiter is None or self._waiter.done():
            return
        if self._loop.time() < self._deadline:
            self._set_timer()  # it was another call's
        else:
            self._end(TimedOut(f"it took longer than {self._allowed_seconds * 1000:g} ms"))

    def _ended(self) -> None:
        """Its end of the connection is closed; how it ended is known when the kernel has done with it."""
        self._stop_listening()
        self._kill_all()
        self._bury(_BURY_SECONDS[0])

    def _end(self, fault: WorkerGone) -> None:
        if self._fault is None:
            self._fail(fault)
            self._ended()

    def _fail(self, fault: WorkerGone) -> None:
        self._fault = fault
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(fault)

    def _stop_listening(self) -> None:
        if self._channel.fileno() >= 0:
            self._loop.remove_reader(self._channel.fileno())
            self._loop.remove_writer(self._channel.fileno())
            self._channel.close()
            self._unsent = None
            self._received = bytearray()
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def _kill_all(self) -> None:
        """Its group too, in case a worker that is not confined began others."""
        if self._process.returncode is None:
            try:
                os.killpg(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                self._process.kill()  # before it had its own group

    def _bury(self, again_seconds: float) -> None:
        code = self._process.poll()
        if code is None:
            self._loop.call_later(again_seconds, self._bury, min(again_seconds * 2, _BURY_SECONDS[1]))
            return
        if self._fault is None:
            self._fail(WorkerGone(_how(code)))
        if not self._buried.done():
            self._buried.set_result(None)


def _how(code: int) -> str:
    if code < 0:
        return f"it ended by {signal.Signals(-code).name}"
    return f"it ended with code {code}"


def _last_words(stream: int) -> str:
    """What a process that never got to work wrote to its standard error."""
    os.set_blocking(stream, False)
    try:
        return os.read(stream, _CHUNK_BYTES).decode(errors="replace").strip()[-_MOST_WORDS:]
    except BlockingIOError:
        return ""
