"""A support bundle of a real site: every kind of secret planted, and the archive searched for each."""

import asyncio
import base64
import contextlib
import gzip
import json
import os
import shutil
import stat
import tarfile
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from edge_agent.app.support import bundle
from edge_agent.demo.children import Child
from edge_agent.runtime.paths import SOCKET_NAME
from edge_agent.web.client import LocalClient

SOON_SECONDS = 15.0
PLANTED = {
    "in the file": "PLANT-inline-4711",
    "in a file of its own": "PLANT-file-4712",
    "in the environment": "PLANT-environ-4713",
    "in the environment, named by nobody": "PLANT-loose-4714",
    "in a proxy's address": "PLANT-proxy-4715",
    "in the map of secrets": "PLANT-map-4716",
    "of the centre's config": "PLANT-centre-4717",
    "in a comment": "PLANT-comment-4718",
    "as a default": "PLANT-default-4719",
}
CONFIG = """\
agent: {{id: press-shop-01, runtime_dir: {runtime}, page_listen: "127.0.0.1:0", log_level: debug}}
# password: PLANT-comment-4718
central:
  url: http://127.0.0.1:9
  token: {token}
  proxy: http://operator:PLANT-proxy-4715@127.0.0.1:9
secrets:
  inline: PLANT-map-4716
  named: !secret plc-password
  environ: ${{PLC_SECRET}}
  default: ${{NOBODY_SET_THIS:-PLANT-default-4719}}
connections:
  # Somebody used passwords as names: they are in status, log and the doctor's findings.
  - name: oddly-named
    driver: modbus
    transport: {{type: tcp, host: PLANT-map-4716.invalid, port: 1, timeout: 100ms}}
    groups: [{{name: fast, interval: 100ms, tags: [{{name: a, address: "holding:1"}}]}}]
  - name: oddly-named-too
    driver: modbus
    transport: {{type: tcp, host: PLANT-loose-4714.invalid, port: 1, timeout: 100ms}}
    groups: [{{name: fast, interval: 100ms, tags: [{{name: a, address: "holding:1"}}]}}]
  - name: press1
    driver: modbus
    transport: {{type: tcp, host: 127.0.0.1, port: {port}}}
    groups:
      - name: fast
        interval: 100ms
        tags: [{{name: oil_temp, address: "holding:100"}}, {{name: marked, address: "holding:1", scale: 1.0}}]
"""


class Site:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.runtime = Path(tempfile.mkdtemp(prefix="holdfast-support-", dir="/dev/shm"))
        self.config = directory / "edge-agent.yaml"
        self.out = directory / "bundle.tar.gz"

    def write(self, port: int = 1, extra: str = "") -> None:
        text = CONFIG.format(runtime=self.runtime, token="PLANT-inline-4711", port=port)
        self.config.write_text(text + extra, encoding="utf-8")
        (self.directory / "secrets").mkdir(exist_ok=True)
        (self.directory / "secrets" / "plc-password").write_text("PLANT-file-4712\n")
        body = json.dumps({"connections": [{"password": "PLANT-centre-4717"}]})
        kept = json.dumps({"applied": {"version": 7, "etag": "x", "content": "c"}, "failed": {}})
        (self.directory / "central-config.json").write_text(f'{{"format": 2, "sha256": "0"}}\n{kept}\n{body}')

    @contextlib.asynccontextmanager
    async def agent(self) -> AsyncIterator[None]:
        child = Child("agent", ["edge_agent", "run", "-c", str(self.config)], self.directory / "agent.log")
        await child.start()
        client = LocalClient(self.runtime / SOCKET_NAME)
        try:
            async with asyncio.timeout(SOON_SECONDS):
                while not await asyncio.to_thread(self._is_up, client):
                    await asyncio.sleep(0.05)
            yield
        finally:
            await child.stop()

    @staticmethod
    def _is_up(client: LocalClient) -> bool:
        with contextlib.suppress(Exception):
            status = client.status()
            is_open = status.page is not None and status.page.state == "open"
            return is_open and any(each.state == "connected" for each in status.connections)
        return False


@pytest.fixture
async def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    monkeypatch.setenv("PLC_SECRET", PLANTED["in the environment"])
    monkeypatch.setenv("HOLDFAST_TEST_API_TOKEN", PLANTED["in the environment, named by nobody"])
    made = Site(tmp_path)
    try:
        yield made
    finally:
        await asyncio.to_thread(shutil.rmtree, made.runtime)


def opened(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        found: dict[str, bytes] = {}
        for member in archive.getmembers():
            file = archive.extractfile(member)
            assert file is not None
            found[member.name.partition("/")[2]] = file.read()
        return found


def assert_nothing_planted(path: Path) -> None:
    data = gzip.decompress(path.read_bytes())
    for where, secret in PLANTED.items():
        encoded = base64.b64encode(f"operator:{secret}".encode())
        assert secret.encode() not in data, f"the secret {where} is in the bundle"
        assert base64.b64encode(secret.encode()).rstrip(b"=") not in data, where
        assert encoded not in data, where
    assert b"PLANT-" not in data


def left_out(files: dict[str, bytes]) -> dict[str, str]:
    manifest: dict[str, Any] = json.loads(files["MANIFEST.json"])
    return {each["name"]: each["why"] for each in manifest["left_out"]}


async def test_without_an_agent_no_secret_is_in_the_bundle_and_what_is_missing_is_said(site: Site) -> None:
    site.write()
    await bundle(site.config, site.out)
    files = await asyncio.to_thread(opened, site.out)
    assert_nothing_planted(site.out)
    assert stat.S_IMODE(site.out.stat().st_mode) == 0o600
    assert {
        "versions.json", "doctor.json", "configuration/edge-agent.yaml", "configuration/in-force.yaml",
        "configuration/last-good.json", "buffer/files.json", "machine/machine.json",
    } <= set(files)  # fmt: skip
    assert left_out(files)["agent/status.json"] == "no agent runs with this config"
    assert "host: 127.0.0.1" in files["configuration/edge-agent.yaml"].decode()
    assert "!secret plc-password" in files["configuration/edge-agent.yaml"].decode()
    assert json.loads(files["configuration/last-good.json"])["kept"]["applied"]["version"] == 7
    checks = json.loads(files["doctor.json"])["checks"]
    assert {"clock", "disk", "connections"} <= {check["check"] for check in checks}


async def test_with_an_agent_its_status_metrics_and_log_are_there_without_secrets_and_values(
    site: Site,
) -> None:
    simulator = Child(
        "simulator", ["edge_agent", "simulate", "modbus", "--port", "0", "--json"], site.directory / "sim.log"
    )
    await simulator.start()
    try:
        site.write(port=(await simulator.ready())["ports"][0])
        async with site.agent():
            await bundle(site.config, site.out)
    finally:
        await simulator.stop()
    files = await asyncio.to_thread(opened, site.out)
    assert_nothing_planted(site.out)
    assert json.loads(files["agent/status.json"])["device"] == "press-shop-01"
    assert b"holdfast_" in files["agent/metrics.txt"]
    assert json.loads(files["buffer/stats.json"])
    assert all("event" in json.loads(line) for line in files["agent/log.jsonl"].splitlines())
    assert b"***.invalid" in files["agent/status.json"], "what was to be masked is not there at all"
    assert b"***.invalid" in files["doctor.json"] + files["agent/log.jsonl"]
    assert not [name for name in files if b'"value"' in files[name]]


async def test_a_broken_config_still_gives_a_bundle_without_its_secrets(site: Site) -> None:
    site.write(extra="buffer: {path: data/buffer.db}\nagain: [oops PLANT-centre-4717\n")
    (site.directory / "data").mkdir()
    (site.directory / "central-config.json").rename(site.directory / "data" / "central-config.json")
    await bundle(site.config, site.out)
    files = await asyncio.to_thread(opened, site.out)
    assert_nothing_planted(site.out)
    assert b"edge-agent.yaml:" in files["configuration/problems.txt"]
    assert "configuration/edge-agent.yaml" in files


async def test_a_config_that_is_not_there_still_gives_a_bundle(site: Site) -> None:
    await bundle(site.config, site.out)
    files = await asyncio.to_thread(opened, site.out)
    assert {"versions.json", "doctor.json", "machine/machine.json"} <= set(files)


@pytest.mark.timeout(90)
async def test_a_config_on_a_disk_that_hangs_costs_half_a_minute_and_tells_nothing_unmasked(
    site: Site,
) -> None:
    os.mkfifo(site.config)  # whoever opens it waits for a writer
    began = time.monotonic()
    await bundle(site.config, site.out)
    took = time.monotonic() - began
    files = await asyncio.to_thread(opened, site.out)
    assert took < 30
    assert "secrets would not be known" in left_out(files)["doctor.json"]
    assert set(files) <= {"MANIFEST.json", "versions.json", "machine/machine.json", "machine/clock.txt"}
    assert "versions.json" in files
