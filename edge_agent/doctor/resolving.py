"""Names to addresses, under a deadline: a resolver that does not answer holds nobody up for longer."""

import asyncio
import ipaddress
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from edge_agent.doctor.waiting import in_thread

LOOKUP_SECONDS: Final = 6.0


@dataclass(frozen=True, slots=True)
class Lookup:
    """addresses: empty where `fault` says why. seconds: what it took."""

    addresses: tuple[str, ...]
    fault: str = ""
    seconds: float = 0.0


def is_address(host: str) -> bool:
    """Whether it is an IP address, which nobody has to be asked about."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def system_lookup(host: str) -> tuple[str, ...]:
    """Addresses by the system's resolver (files, DNS, mDNS as it is set up). Blocks. Raises OSError."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


class Resolver:
    """Asks once for each name, and remembers the answer for the checks that follow."""

    def __init__(
        self, lookup: Callable[[str], tuple[str, ...]] = system_lookup, seconds: float = LOOKUP_SECONDS
    ) -> None:
        self._lookup = lookup
        self._seconds = seconds
        self._known: dict[str, Lookup] = {}
        self._asking: dict[str, asyncio.Lock] = {}

    async def resolve(self, host: str) -> Lookup:
        """Never raises; takes `seconds` at most."""
        if is_address(host):
            return Lookup((host,))
        async with self._asking.setdefault(host, asyncio.Lock()):
            if host not in self._known:
                self._known[host] = await self._ask(host)
        return self._known[host]

    async def _ask(self, host: str) -> Lookup:
        began = time.monotonic()
        try:
            addresses = await in_thread(lambda: self._lookup(host), self._seconds)
        except TimeoutError:
            return Lookup((), f"no name server answered within {self._seconds:g} s", self._seconds)
        except OSError as error:
            return Lookup((), fault_text(error), time.monotonic() - began)
        except UnicodeError:
            return Lookup((), "it is no host name")
        return Lookup(addresses, "", time.monotonic() - began)


def fault_text(error: OSError) -> str:
    """Why a name was not found, in words that tell an unknown name from a silent server."""
    if error.errno == socket.EAI_NONAME:
        return "there is no such name"
    if error.errno == socket.EAI_AGAIN:
        return "the name servers do not answer"
    return error.strerror or str(error)
