"""`import-edge-config`: a device's local file becomes the config that the centre wants on it.

The agent's own reader takes the sections out of the file. A centre that runs is asked through its API, with
an engineer's token; else the database is written, under the lock that a running centre holds.
"""

import asyncio
import contextlib
import json
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

import orjson

from central_sync.checker import AgentChecker
from central_sync.services.access.tokens import check_device_id
from central_sync.services.audit.entries import Actor
from central_sync.services.clock import SystemClock
from central_sync.services.configs.service import Author, Change, canonical
from central_sync.services.errors import Busy, Invalid
from central_sync.settings import Settings
from central_sync.store.configs import put_config
from central_sync.store.database import DATABASE_NAME, DirectoryLock, connect, prepare, transaction
from central_sync.store.errors import CannotOpen

_ANSWER_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True)
class Taken:
    """What a local file holds for a centre. warnings: lines for people."""

    sections: bytes
    warnings: list[str]


def take_sections(settings: Settings, file: Path) -> Taken:
    """Raises Invalid with a line for each problem, CannotOpen where the agent cannot be asked."""
    answer = asyncio.run(_ask(settings, str(file.absolute())))
    if answer["problems"]:
        raise Invalid("bad_config", "\n".join(_line(each) for each in answer["problems"]))
    sections = json.loads(orjson.dumps(answer["content"]))
    return Taken(canonical(sections), [_line(each) for each in answer["warnings"]])


async def _ask(settings: Settings, file: str) -> dict[str, Any]:
    checker = AgentChecker(settings.agent_command)
    try:
        return await checker.ask(orjson.dumps({"config": file}))
    except Busy as error:
        raise CannotOpen(str(error)) from error
    finally:
        await checker.close()


def _line(record: dict[str, Any]) -> str:
    place = ":".join(str(record[key]) for key in ("file", "line", "column") if record.get(key) is not None)
    return ": ".join(part for part in (place, record["path"], record["message"]) if part)


def store_sections(settings: Settings, device: str, sections: bytes, note: str) -> dict[str, Any]:
    """Into the database of a centre that does not run. Raises Refusal, CannotOpen."""
    check_device_id(device)
    if not (settings.data / DATABASE_NAME).exists():
        raise CannotOpen(f"{settings.data}: there is no {DATABASE_NAME} here; `run` makes one")
    try:
        lock = DirectoryLock(settings.data)
    except CannotOpen as error:
        raise CannotOpen(f"{error}: give --url and --token-file, and it is asked to take this") from error
    try:
        author = Author("cli:import", Actor("cli", "import-edge-config"))
        change = Change(device, sections, author, SystemClock().wall_ms(), note=note, source="import")
        with contextlib.closing(connect(prepare(settings.data))) as connection, transaction(connection):
            written = put_config(connection, change, settings.config_versions)
    finally:
        lock.release()
    return written.model_dump()


def send_sections(
    url: str, token: str, ca_file: Path | None, device: str, sections: bytes, note: str
) -> dict[str, Any]:
    """To a centre that runs. Raises Invalid with what it says, CannotOpen where it cannot be reached."""
    if not url.startswith(("http://", "https://")):
        raise Invalid("bad_url", "--url needs an address that begins with https:// or http://")
    path = f"/api/fleet/edge/{quote(check_device_id(device))}/config?{urlencode({'note': note})}"
    request = urllib.request.Request(  # noqa: S310 the scheme was looked at
        url.rstrip("/") + path, sections, method="PUT",
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )  # fmt: skip
    trust = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    try:
        with urllib.request.urlopen(request, timeout=_ANSWER_SECONDS, context=trust) as response:  # noqa: S310
            answer: dict[str, Any] = orjson.loads(response.read())
    except urllib.error.HTTPError as error:
        raise Invalid("refused", f"the centre answers {error.code}: {_detail(error.read())}") from error
    except (OSError, ValueError) as error:
        raise CannotOpen(f"{url}: {error}") from error
    return answer


def _detail(body: bytes) -> str:
    try:
        return str(orjson.loads(body)["detail"])
    except (ValueError, KeyError, TypeError):
        return body[:200].decode(errors="replace")
