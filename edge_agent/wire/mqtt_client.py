"""aiomqtt's client with what it lacks: below every link to a broker, the agent's as well as the centre's.

Imported where a broker is named, and nowhere else: it loads aiomqtt, and the paho client below that. It gives
the connecting, the packets and the keepalive. What is changed of it, and why:
- connecting happens in a thread that nobody can end. A link that was given up meanwhile is closed as soon
  as its socket is there, so that it cannot take the client id away from the next one.
- a connecting that failed leaves nothing behind: a broker that was frozen would find one connection of each
  try when it wakes up.
- a broker that hangs up before its CONNACK is told at once, and not after the time-out; and one that hangs
  up right after it is told at all: aiomqtt forgets that, and the link would seem to live.
- sockets are watched by the socket and not by its number, which the next link may have by the time that a
  deferred call comes to it: that link would then never write.
- after an error the socket is closed; paho leaves it open, and it would be read for ever.
- a packet that is larger than it may be ends the link before it is read.
- a link that ends says so to the broker, where that is possible at once.
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import Any, Final

import aiomqtt

# Of TLS, whose records bring each other: a broker that does not stop would never give the loop back.
_PACKETS_A_TURN: Final = 20


class BrokerClient(aiomqtt.Client):
    """Used for one connecting, then thrown away: `open`, and `give_up` at the end.

    max_packet_bytes: that a packet of the broker's may have.
    """

    def __init__(self, host: str, port: int, *, max_packet_bytes: int, timeout: float, **more: Any) -> None:
        """timeout: for each step of connecting, in seconds, and for the broker's word on a packet."""
        super().__init__(host, port, timeout=timeout, **more)
        self._client.connect_timeout = timeout
        self._max_packet_bytes = max_packet_bytes
        self._given_up = False
        self._last_word = "the link broke at once"

    async def open(self) -> None:
        """Raises aiomqtt.MqttError, OSError, ValueError; safe to cancel."""
        ended = self._disconnected  # aiomqtt takes a new one where this one is done
        try:
            await self.__aenter__()
            if self._client.socket() is None:
                if ended.done():
                    ended.exception()  # it is known
                raise aiomqtt.MqttError(self._last_word)
        except BaseException:
            await self.give_up()
            raise

    async def give_up(self) -> None:
        """Says goodbye if that is possible at once, and closes the socket, now or as soon as it is there."""
        if self._given_up:
            return
        is_up = self._is_accepted and not self._disconnected.done()
        self._given_up = True
        if is_up:
            self._client.disconnect()
            self._client.loop_write()  # else it would wait for the loop, and be dropped with the socket
        self._drop()
        if self._disconnected.done():
            self._disconnected.exception()  # it is known
        if (task := self._misc_task) is not None:
            task.cancel()
            await asyncio.wait((task,))

    @property
    def _is_accepted(self) -> bool:
        """The broker said yes. Waiting for its answer may also have failed, or been cancelled."""
        answer = self._connected
        return answer.done() and not answer.cancelled() and answer.exception() is None

    def _drop(self) -> None:
        self._client._sock_close()

    # --- what paho calls; from the thread that connects, where it says so -------------------------

    def _on_disconnect(
        self, client: Any, userdata: Any, flags: Any, reason_code: Any, properties: Any = None
    ) -> None:
        if not self._connected.done():
            self._connected.set_exception(aiomqtt.MqttError("the broker closed the link without an answer"))
        elif self._is_accepted:
            self._last_word = f"the broker closed the link at once: {reason_code}"
            super()._on_disconnect(client, userdata, flags, reason_code, properties)

    def _on_socket_open(self, client: Any, userdata: Any, sock: Any) -> None:  # noqa: ARG002
        """In the thread."""
        self._loop.call_soon_threadsafe(self._adopt, sock)

    def _adopt(self, sock: Any) -> None:
        if self._given_up or sock.fileno() < 0:
            self._drop()
            return
        self._loop.add_reader(sock.fileno(), self._guarded, self._read)
        self._misc_task = self._loop.create_task(self._misc_loop())

    def _on_socket_register_write(self, client: Any, userdata: Any, sock: Any) -> None:  # noqa: ARG002
        """In the thread, and in the loop."""
        self._loop.call_soon_threadsafe(self._register_write, sock)

    def _register_write(self, sock: Any) -> None:
        if not self._given_up and sock.fileno() >= 0:
            self._loop.add_writer(sock.fileno(), self._guarded, self._client.loop_write)

    def _on_socket_unregister_write(self, client: Any, userdata: Any, sock: Any) -> None:  # noqa: ARG002
        if sock.fileno() >= 0:
            self._loop.remove_writer(sock.fileno())

    def _read(self) -> None:
        for _ in range(_PACKETS_A_TURN):
            self._client.loop_read()
            if self._client._in_packet["remaining_length"] > self._max_packet_bytes:
                raise OSError(f"the broker sends a packet of more than {self._max_packet_bytes} bytes")
            sock = self._client.socket()
            # What TLS has decrypted already wakes nobody.
            if not isinstance(sock, ssl.SSLSocket) or not sock.pending():
                return
        self._loop.call_soon(self._guarded, self._read_on)

    def _read_on(self) -> None:
        if not self._given_up and self._client.socket() is not None:
            self._read()

    def _guarded(self, turn: Callable[[], Any]) -> None:
        """For packets of no sense paho raises whatever its reading of them runs into."""
        try:
            turn()
        except Exception as error:  # noqa: BLE001
            for waiting in (self._connected, self._disconnected):
                if not waiting.done():
                    waiting.set_exception(aiomqtt.MqttError(str(error)))
                    break
            self._drop()
