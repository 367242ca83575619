"""Check `dns`: whether the names of the centre and of the PLCs lead to addresses, and how fast."""

import asyncio
from pathlib import Path
from typing import Final

from edge_agent.contracts.diagnosis import Finding, Outcome, ok, unreachable, warning
from edge_agent.contracts.figures import latency
from edge_agent.doctor.examination import Tell
from edge_agent.doctor.resolving import Lookup, is_address
from edge_agent.doctor.site import Site, first_hop, host_of

NAME: Final = "dns"
CENTRE: Final = "centre"
_SLOW_SECONDS: Final = 1.0
_SHOWN: Final = 4
_RESOLV_CONF: Final = Path("/etc/resolv.conf")
_AT_ONCE: Final = 16


def judge(host: str, lookup: Lookup, servers: tuple[str, ...]) -> Finding:
    """servers: the name servers of this machine, for the remedy."""
    if lookup.fault:
        return unreachable(f"{host}: {lookup.fault}", remedy_for(host, lookup, servers))
    shown = ", ".join(lookup.addresses[:_SHOWN]) + (", …" if len(lookup.addresses) > _SHOWN else "")
    text = f"{host} is {shown} ({latency(lookup.seconds)})"
    if lookup.seconds > _SLOW_SECONDS:
        return warning(
            f"{text}: slow",
            f"each connecting waits for it: see which of the name servers ({_list(servers)}) does not answer",
        )
    return ok(text)


def remedy_for(host: str, lookup: Lookup, servers: tuple[str, ...]) -> str:
    if lookup.fault == "there is no such name":
        return f"correct the name in the config, or enter {host} in the plant's DNS or in /etc/hosts"
    if not servers:
        return "/etc/resolv.conf names no server: set one up, or write the address into the config"
    return f"see whether {_list(servers)} can be reached from here, or write the address into the config"


def name_servers(text: str) -> tuple[str, ...]:
    """resolv.conf(5)."""
    lines = (line.split() for line in text.splitlines())
    return tuple(words[1] for words in lines if len(words) > 1 and words[0] == "nameserver")


def _list(servers: tuple[str, ...]) -> str:
    return ", ".join(servers) or "none are set"


class Names:
    """Looks up all names, side by side."""

    name = NAME
    needs = ("config",)
    seconds = 20.0

    async def run(self, site: Site, tell: Tell) -> None:
        hosts = {f"connection {each.name}": host_of(each) for each in site.connections}
        wanted = {CENTRE: first_hop(site.central)} if site.central is not None else {}
        wanted |= {subject: host for subject, host in hosts.items() if host}
        named = {subject: host for subject, host in wanted.items() if not is_address(host)}
        if not named:
            text = "only addresses are used: nothing to look up" if wanted else "there is nothing to look up"
            tell(Outcome(NAME, (ok(text),)))
            return
        servers = _servers()
        turns = asyncio.Semaphore(_AT_ONCE)

        async def look(subject: str, host: str) -> None:
            async with turns:
                lookup = await site.resolver.resolve(host)
            tell(Outcome(NAME, (judge(host, lookup, servers),), subject, lookup.seconds))

        await asyncio.gather(*(look(subject, host) for subject, host in named.items()))


def _servers() -> tuple[str, ...]:
    try:
        return name_servers(_RESOLV_CONF.read_text())
    except (OSError, UnicodeDecodeError):
        return ()
