"""Collects a support bundle: the room's collectors, and those that need a config, an agent or the doctor."""

import asyncio
import http.client
import os
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import orjson

from edge_agent import __version__
from edge_agent.app import local
from edge_agent.app.config_text import pieces as config_pieces
from edge_agent.app.doctor import examine_site, site_of
from edge_agent.app.stored import StoredBuffer
from edge_agent.config.load import Head
from edge_agent.contracts.diagnosis import Outcome
from edge_agent.contracts.status import AgentStatus
from edge_agent.doctor.site import Site
from edge_agent.doctor.waiting import in_thread
from edge_agent.support import machine
from edge_agent.support.archive import LeftOut, Packed, Piece, pack
from edge_agent.support.collecting import Absent, Collector, collect
from edge_agent.support.config_text import masked_config
from edge_agent.support.scrub import Scrubber
from edge_agent.support.secrets import known_secrets, last_config_secrets

# All of it is there in half a minute: 8 s to read the config, 2 s its texts, then the rest side by side.
LOAD_SECONDS: Final = 8.0
_TEXT_SECONDS: Final = 2.0
_COLLECT_SECONDS: Final = 17.0
_CALL_SECONDS: Final = 15.0
# What holds nothing that anybody wrote or logged: all there is where the secrets are not known.
_HARMLESS: Final = ("versions.json", "machine/machine.json", "machine/clock.txt")
_EXAMINATION: Final = "doctor.json"
_SHOWN_TAGS: Final = 20
_PATH: Final = re.compile(r"\bpath:\s*[\"']?([^\s,}\"']+)")
_LOG_LINES: Final = 500
_MAX_CONFIG_BYTES: Final = 1 << 20
_MAX_CONFIG_FILES: Final = 50
_MAX_LOG_BYTES: Final = 4 << 20


async def bundle(path: Path, out: Path | None, *, doctor: bool = True) -> tuple[Path, Packed]:
    """Writes the bundle and says what is in it. out: the file; None: named by device and time, here.
    doctor: with its examination, which takes the longest.

    Raises OSError where it cannot be written: there is nothing else that stops it.
    """
    now = datetime.now(UTC)
    try:
        site = await in_thread(lambda: site_of(path), LOAD_SECONDS)
        files = await in_thread(lambda: _config_files(site), _TEXT_SECONDS)
    except TimeoutError:
        site, files = Site(path, os.environ, problems=(f"{path}: could not be read in time",)), {}
    wanted = [each for each in collectors(site, files) if doctor or each.name != _EXAMINATION]
    secrets, (found, left_out) = await asyncio.gather(_known(site, files), collect(wanted, _COLLECT_SECONDS))
    if secrets is None:
        why = "the config could not be read in time: its secrets would not be known"
        hidden = [each for each in found if each.name not in _HARMLESS]
        left_out = [*left_out, *(LeftOut(each.name, each.about, why) for each in hidden)]
        found = [each for each in found if each.name in _HARMLESS]
    scrubber = Scrubber(secrets or ())
    clean = [Piece(each.name, each.about, scrubber.clean(each.text), each.newest_last) for each in found]
    left = [LeftOut(each.name, each.about, scrubber.clean(each.why)) for each in left_out]
    device = site.running.device if site.running else _device(site)
    target = out or Path(f"holdfast-support-{device}-{now:%Y%m%dT%H%M%SZ}.tar.gz")
    head = {
        "format": 1,
        "made": f"{now:%Y-%m-%dT%H:%M:%SZ}",
        "device": device,
        "edge_agent": __version__,
        "never_included": "values of tags, batches, secrets",
    }
    return target, await asyncio.to_thread(pack, target, clean, left, head)


def collectors(site: Site, files: dict[str, str]) -> list[Collector]:
    """The most useful first: what comes last is left out where it becomes too much."""
    thread = _in_thread
    status = site.running
    pid = None if status is None else status.pid
    data = site.directory if site.document is None else site.database.parent
    configs = [
        Collector(
            f"configuration/{name}", "a config file, secrets masked", thread(partial(masked_config, text))
        )
        for name, text in files.items()
    ]
    return [
        Collector("versions.json", "this program, Python and packages", thread(machine.versions)),
        Collector(_EXAMINATION, "what `edge-agent doctor` finds", partial(_doctor, site)),
        Collector("agent/status.json", "the running agent's status", thread(partial(_status, site))),
        Collector("agent/metrics.txt", "the running agent's metrics", thread(partial(_metrics, site))),
        Collector("agent/log.jsonl", "its newest log lines", thread(partial(_log, status)), newest_last=True),
        Collector("configuration/problems.txt", "why it is invalid", thread(partial(_problems, site))),
        *configs,
        Collector(
            "configuration/in-force.yaml", "the config with its defaults, 20 tags of each group",
            thread(partial(_in_force, site)),
        ),
        Collector(
            "configuration/last-good.json", "which config of the centre was taken, without its content",
            thread(partial(_last_good, site, "central-config.json")),
        ),
        Collector(
            "configuration/last-good-scripts.json", "which scripts of the centre were taken, without them",
            thread(partial(_last_good, site, "central-scripts.json")),
        ),
        Collector("buffer/stats.json", "the buffer's batches and sums", thread(partial(_buffer_stats, site))),
        Collector("buffer/files.json", "the buffer's files", thread(partial(_buffer_files, site))),
        Collector("machine/machine.json", "system, memory, disk", thread(partial(machine.machine, data))),
        Collector("machine/mounts.txt", "file systems", thread(machine.mounts)),
        Collector("machine/addresses.txt", "network addresses and routes", thread(machine.addresses)),
        Collector("machine/clock.txt", "time synchronisation", thread(machine.clock)),
        Collector(
            "machine/journal.txt", "the journal's newest lines of the agent",
            thread(partial(machine.journal, pid)), newest_last=True,
        ),
    ]  # fmt: skip


def _in_thread(function: Callable[[], str]) -> Callable[[], Awaitable[str]]:
    return lambda: in_thread(function, _CALL_SECONDS)


def _config_files(site: Site) -> dict[str, str]:
    """The texts of the config's files by their names in the bundle."""
    found: dict[str, str] = {}
    for path in (site.files or (site.config,))[:_MAX_CONFIG_FILES]:
        try:
            with path.open("rb") as file:
                text = file.read(_MAX_CONFIG_BYTES).decode("utf-8", "replace")
        except OSError:
            continue
        name = path.name if path.name not in found else f"{len(found)}-{path.name}"
        found[name] = text
    return found


async def _known(site: Site, files: dict[str, str]) -> set[str] | None:
    """The secrets of this machine; None where they could not be read in time."""
    try:
        return await in_thread(lambda: _secrets(site, files), _COLLECT_SECONDS)
    except TimeoutError:
        return None


def _secrets(site: Site, files: dict[str, str]) -> set[str]:
    known = known_secrets(site.config, files.values(), site.environ) | site.secrets
    if site.document is not None:
        return known | last_config_secrets(site.database.with_name("central-config.json"))
    # Of an invalid config whatever may be the buffer's path counts.
    named = {Path(match).parent for text in files.values() for match in _PATH.findall(text)}
    for directory in (Path(), *named):
        known |= last_config_secrets(site.directory / directory / "central-config.json")
    return known


async def _doctor(site: Site) -> str:
    outcomes: list[Outcome] = []
    try:
        async with asyncio.timeout(_COLLECT_SECONDS - 3):
            await examine_site(site, tell=outcomes.append)
    except TimeoutError:
        return machine.as_json({"finished": False, "checks": [outcome.record() for outcome in outcomes]})
    return machine.as_json({"finished": True, "checks": [outcome.record() for outcome in outcomes]})


def _status(site: Site) -> str:
    if site.running is None:
        raise Absent(site.running_fault or "no agent runs with this config")
    # What scripts print may be values.
    prints = {"hooks": {"hooks": {"__all__": {"prints"}}}}
    return machine.as_json(site.running.model_dump(mode="json", exclude=prints))


def _metrics(site: Site) -> str:
    head = None if site.document is None else Head(site.document.agent)
    client = None if head is None or site.running is None else local.running_agent(head)
    if client is None:
        raise Absent(site.running_fault or "no agent runs with this config")
    return client.metrics()


def _log(status: AgentStatus | None) -> str:
    """From the agent's page, which serves the log that it holds in memory."""
    if status is None or status.page is None or status.page.state != "open":
        raise Absent("no agent with an open page: see machine/journal.txt")
    place = urlsplit(f"http://{status.page.address}")
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=5)
    try:
        connection.request("GET", f"/api/log?level=debug&limit={_LOG_LINES}")
        response = connection.getresponse()
        lines = orjson.loads(response.read(_MAX_LOG_BYTES))["lines"]
    finally:
        connection.close()
    return "".join(f"{orjson.dumps(line).decode()}\n" for line in lines)


def _problems(site: Site) -> str:
    if site.document is not None:
        raise Absent("the config is valid")
    return "\n".join(site.problems) + "\n"


def _in_force(site: Site) -> str:
    if site.document is None:
        raise Absent("the config is invalid: see configuration/problems.txt")
    return "".join(config_pieces(site.document, _SHOWN_TAGS))


def _last_good(site: Site, name: str) -> str:
    if site.document is None:
        raise Absent("the config is invalid, so that the buffer's directory is not known")
    path = site.database.with_name(name)
    if not path.exists():
        raise Absent("the centre has sent none that was taken")
    status = path.stat()
    data = path.read_bytes().split(b"\n", 2)
    return machine.as_json(
        {
            "bytes": status.st_size,
            "changed": int(status.st_mtime * 1_000),
            "head": orjson.loads(data[0]),
            "kept": orjson.loads(data[1]),
        }
    )


def _buffer_files(site: Site) -> str:
    if site.document is None:
        raise Absent("the config is invalid, so that the buffer's directory is not known")
    return machine.database_files(site.database)


def _buffer_stats(site: Site) -> str:
    if site.document is None or not site.database.exists():
        raise Absent("the config is invalid, or there is no buffer yet")
    stored = StoredBuffer(site.database, site.document.buffer.max_bytes)
    return machine.as_json(stored.stats(lambda *_: None))


def _device(site: Site) -> str:
    return "unknown" if site.document is None else site.document.agent.id
