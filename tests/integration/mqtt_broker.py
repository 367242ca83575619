"""A mosquitto with any settings that a test wants, and what it logs."""

import asyncio
import contextlib
import json
import socket
from pathlib import Path
from typing import Any

import aiomqtt

from tests.integration.mqtt_house import Authority, program

USER, PASSWORD = "press-shop", "let me in"
WITHIN_SECONDS = 8.0


class Mosquitto:
    """A broker on one plain port with anybody let in, and one with TLS and passwords."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority = Authority(directory)
        with socket.socket() as one, socket.socket() as other:
            for each in (one, other):
                each.bind(("127.0.0.1", 0))
            self.port, self.tls_port = one.getsockname()[1], other.getsockname()[1]
        self._process: asyncio.subprocess.Process | None = None

    async def prepare(self) -> None:
        cert, key = self.authority.issue("localhost")
        passwords = self.directory / "passwords"
        passwords.touch(mode=0o600)
        made = await asyncio.create_subprocess_exec(
            program("mosquitto_passwd"), "-b", str(passwords), USER, PASSWORD
        )
        assert await made.wait() == 0
        (self.directory / "mosquitto.conf").write_text(
            f"user root\nper_listener_settings true\npersistence true\n"
            f"persistence_location {self.directory}/\nmax_queued_messages 0\n"
            f"log_type all\nlog_dest file {self.directory}/mosquitto.log\n"
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\n"
            f"listener {self.tls_port} 127.0.0.1\nallow_anonymous false\npassword_file {passwords}\n"
            f"certfile {cert}\nkeyfile {key}\n"
        )

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            program("mosquitto"), "-c", str(self.directory / "mosquitto.conf"),
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        async with asyncio.timeout(WITHIN_SECONDS):
            while True:
                assert self._process.returncode is None, "mosquitto does not start"
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", self.tls_port)
                    writer.close()
                    return
                await asyncio.sleep(0.02)

    async def stop(self) -> None:
        """As systemd does: what it holds for others is on the disk then."""
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            await self._process.wait()

    async def publish(self, *messages: tuple[str, Any], retain: bool = False) -> None:
        """One after the other; the last is with the broker when this returns."""
        async with aiomqtt.Client("127.0.0.1", self.port) as client:
            client.pending_calls_threshold = len(messages)
            async with asyncio.TaskGroup() as group:
                for topic, payload in messages:
                    data = payload if isinstance(payload, bytes | str) else json.dumps(payload)
                    group.create_task(client.publish(topic, data, qos=1, retain=retain))

    def logged(self, text: str) -> int:
        """How many lines of its log have it."""
        return sum(text in line for line in (self.directory / "mosquitto.log").read_text().splitlines())
