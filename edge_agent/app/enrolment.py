"""`edge-agent enroll`: the centre's certificate is checked, a key is made and kept, the centre takes it.

Each step's outcome is on the disk before the next begins, so that a run that was cut off goes on where it
was: the same key is asked with again, and the centre gives the same answer.
"""

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_agent.app.settings import load_config
from edge_agent.config.central_section import section, with_section
from edge_agent.config.load import Loaded
from edge_agent.config.models import CentralSettings
from edge_agent.contracts.clock import Clock
from edge_agent.contracts.errors import ConfigError, NotConnected, StorageFailed, Unavailable
from edge_agent.runtime.atomic import write_atomic
from edge_agent.runtime.clock import SystemClock
from edge_agent.runtime.host import machine_id
from edge_agent.uplink import enrolment
from edge_agent.uplink.client import CentreClient
from edge_agent.uplink.credentials import FILE_NAME, Credential, Credentials
from edge_agent.uplink.enrolment import Hardware, Refusal, Refused
from edge_agent.uplink.errors import UplinkFault
from edge_agent.uplink.pinning import Claims, Place, authority, read_token
from edge_agent.wire.enrolment import Pending, Provisioned

CA_NAME: Final = "centre-ca.pem"
_NEW_KEYS: Final = 2


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for on the command line. wait_seconds: for an operator; None: as long as it takes."""

    url: str | None = None
    token: str | None = None
    ca_file: Path | None = None
    device: str | None = None
    serial: str | None = None
    again: bool = False
    wait_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Enrolled:
    """written: files that were made or changed. to_do: what is left to a person, one line each."""

    device: str
    url: str
    credential: str
    expires: int
    written: tuple[str, ...]
    to_do: tuple[str, ...]


async def enrol(path: Path, wish: Wish, tell: Callable[[str], None], clock: Clock | None = None) -> Enrolled:
    """Raises ConfigError for what is wrong or refused, NotConnected and Unavailable for what may do later."""
    loaded = await asyncio.to_thread(load_config, path)
    claims = Claims() if wish.token is None else read_token(wish.token)
    place = _place(path, loaded, wish, claims)
    device = _device(path, loaded, wish, claims)
    database = loaded.directory / loaded.document.buffer.path
    credentials = Credentials(database.with_name(FILE_NAME), _write_owned)
    problem = await asyncio.to_thread(credentials.load)
    if problem:
        raise ConfigError(problem)
    if credentials.current is not None and not wish.again:
        raise ConfigError(
            f"{credentials.path}: this device is enrolled as {credentials.device}; to enrol it anew, "
            "as after a copied disk or a revoked credential: --again"
        )
    pem = await asyncio.to_thread(authority, place, claims, wish.ca_file or _known_ca(loaded))
    if not place.is_tls and not place.is_here:
        tell("warning: without https:// everybody on the way can read what this device sends")
    settings, written = _settings(loaded, place, pem)
    if wish.again and credentials.next is not None and credentials.next.id is not None:
        credentials.drop_next()
    client = CentreClient(settings, device, loaded.directory, token=str)
    hardware = Hardware(machine_id(database.with_name("machine-id")), wish.serial)
    try:
        answer = await _ask(client, credentials, device, hardware, wish, tell, clock or SystemClock())
    except StorageFailed as error:
        raise Unavailable(str(error)) from error
    finally:
        await client.close()
    written.append(str(credentials.path))
    to_do = _finish(path, loaded, settings, written)
    return Enrolled(
        answer.device_id, place.url, answer.credential, answer.expires, tuple(written), tuple(to_do)
    )


def _place(path: Path, loaded: Loaded, wish: Wish, claims: Claims) -> Place:
    central = loaded.document.central
    url = (wish.url or claims.url or (central.url if central else "")).rstrip("/")
    if not url:
        raise ConfigError("name the centre: edge-agent enroll https://central.example.com --token …")
    if central is not None and central.url != url:
        raise ConfigError(f"{path}: central.url is {central.url}: change it to {url} first, or take it out")
    try:
        CentralSettings(url=url)
    except ValueError as error:
        raise ConfigError(f"{url} is no address of a centre, such as https://central.example.com") from error
    return Place(url, central.proxy if central is not None else None)


def _device(path: Path, loaded: Loaded, wish: Wish, claims: Claims) -> str:
    device = loaded.agent.id
    if wish.device not in (None, device):
        raise ConfigError(f"{path}: agent.id is {device}: change it to {wish.device} there, and try again")
    if claims.device not in (None, device):
        raise ConfigError(f"{path}: agent.id is {device}, and the token is for {claims.device}")
    return device


def _known_ca(loaded: Loaded) -> Path | None:
    central = loaded.document.central
    return None if central is None or central.ca_file is None else loaded.directory / central.ca_file


def _settings(loaded: Loaded, place: Place, pem: str | None) -> tuple[CentralSettings, list[str]]:
    """How the centre is reached; its authority is written where the system does not know it."""
    central = loaded.document.central
    if central is not None and (pem is None or central.ca_file is not None):
        return central, []
    if pem is None:
        return CentralSettings(url=place.url), []
    file = loaded.directory / CA_NAME
    _write_owned(file, pem.encode(), 0o644)
    return CentralSettings(url=place.url, ca_file=CA_NAME, proxy=place.proxy), [str(file)]


async def _ask(
    client: CentreClient,
    credentials: Credentials,
    device: str,
    hardware: Hardware,
    wish: Wish,
    tell: Callable[[str], None],
    clock: Clock,
) -> Provisioned:
    """Asks until there is a decision. The key is on the disk before the first time."""
    until = None if wish.wait_seconds is None else clock.monotonic() + wish.wait_seconds
    told = False
    fresh = 0
    while True:
        key = await asyncio.to_thread(credentials.new_key)
        now = clock.wall_ms()
        outcome = await _exchange(client, key, device, hardware, wish)
        match outcome:
            case Provisioned():
                if outcome.device_id != device:
                    raise ConfigError(
                        f"the centre knows this device as {outcome.device_id}: write that into agent.id"
                    )
                await asyncio.to_thread(
                    credentials.accept, key.key, device, outcome.credential, now, outcome.expires
                )
                if credentials.current is None:
                    await asyncio.to_thread(credentials.promote)
                return outcome
            case Pending():
                if not told:
                    tell(f"waiting for an operator to accept {device}, as request {outcome.request} …")
                    told = True
                await _pause(outcome, until, clock)
            case Refused(kind=Refusal.KEY) if fresh < _NEW_KEYS:
                fresh += 1
                await asyncio.to_thread(credentials.drop_next)
            case Refused(kind=Refusal.LATER):
                raise Unavailable(f"the centre cannot say now: {outcome.text}")
            case Refused():
                raise ConfigError(f"not enrolled: {outcome.text}")


async def _pause(pending: Pending, until: float | None, clock: Clock) -> None:
    """Raises Unavailable where that would take longer than `until` (monotonic seconds)."""
    if until is not None and clock.monotonic() + pending.retry_after > until:
        raise Unavailable(
            f"not accepted yet: an operator does it with `central-sync device accept {pending.request}`; "
            "then run this again"
        )
    await clock.sleep(pending.retry_after)


async def _exchange(
    client: CentreClient, key: Credential, device: str, hardware: Hardware, wish: Wish
) -> enrolment.Outcome:
    body = enrolment.request(device, wish.token, key.key, hardware)
    try:
        return enrolment.judge(await client.provision(body))
    except UplinkFault as fault:
        raise NotConnected(f"the centre does not answer: {fault}") from fault


def _finish(path: Path, loaded: Loaded, settings: CentralSettings, written: list[str]) -> list[str]:
    """Puts the section into the config where there is none. What is left to do."""
    central = loaded.document.central
    if central is None:
        text = with_section(path.read_text(encoding="utf-8"), settings.url, settings.ca_file)
        if text is None:
            return [f"add this to {path}:", *section(settings.url, settings.ca_file).splitlines()]
        _write_owned(path, text.encode(), None)
        written.append(str(path))
        return []
    to_do: list[str] = []
    if central.token is not None:
        to_do.append(f"take central.token out of {path}: it is used before the new credential")
    if central.ca_file != settings.ca_file:
        to_do.append(f"add to the section central of {path}: ca_file: {settings.ca_file}")
    return to_do


def _write_owned(path: Path, data: bytes, mode: int | None = 0o600) -> None:
    """Written for whom the directory is: root enrols a device, and a service's user runs it. mode: None: as
    the file has it, with its owner. Raises OSError."""
    like = (path if mode is None else path.parent).stat()
    write_atomic(path, data, like.st_mode & 0o777 if mode is None else mode)
    if os.geteuid() == 0 and like.st_uid != 0:
        with suppress(PermissionError):
            os.chown(path, like.st_uid, like.st_gid)
