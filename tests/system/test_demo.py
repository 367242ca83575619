"""The first thing a newcomer does: the demo with a verdict, the page in a browser, Ctrl-C."""

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest

CHROMIUM = [
    "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
PAGE_SECONDS = 10.0
# Starting a browser on a busy machine, and the 8 s that it looks at the page each time.
BROWSER_SECONDS = 30.0


@pytest.mark.timeout(150)
async def test_the_demo_passes_its_own_verdict_with_agent_and_centre_killed(tmp_path: Path) -> None:
    process = await demo(tmp_path, "--for", "30s", "--json")
    out, _ = await process.communicate()
    verdict = json.loads(out)
    assert process.returncode == 0, verdict
    assert verdict["passed"]
    assert verdict["share"] >= 0.95
    assert (verdict["wrong_values"], verdict["account"]["gaps"], verdict["account"]["duplicates"]) == (
        0,
        0,
        0,
    )


@pytest.mark.timeout(120)
async def test_the_page_shows_values_connections_buffer_and_health_within_10_s(tmp_path: Path) -> None:
    async with running_demo(tmp_path) as (_, url):
        begin = time.monotonic()
        dom = ""
        while not shows_everything(dom):
            assert time.monotonic() - begin < PAGE_SECONDS + BROWSER_SECONDS, dom[-3000:]
            dom = await dump(url, tmp_path)
        assert re.search(r'(?:src|href)="[a-z]*:?//', dom) is None, "a resource from elsewhere"


@pytest.mark.timeout(90)
async def test_ctrl_c_ends_the_demo_cleanly_and_leaves_no_process(tmp_path: Path) -> None:
    async with running_demo(tmp_path) as (process, _):
        family = psutil.Process(process.pid).children(recursive=True)
        assert len(family) >= 5
        process.send_signal(signal.SIGINT)
        await asyncio.wait_for(process.wait(), 30)
    assert process.returncode == 0
    left = [child for child in family if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    assert left == []
    assert "Traceback" not in (tmp_path / ".demo" / "agent.log").read_text()
    assert "Traceback" not in (tmp_path / ".demo" / "central.log").read_text()


def shows_everything(dom: str) -> bool:
    values = re.search(r"oil_temperature", dom) is not None and "온도" in dom
    connections = dom.count(">connected<") + dom.count("connected</") >= 3
    buffer = "Pending batches" in dom
    health = "Uptime" in dom and "0.1.0" in dom
    return values and connections and buffer and health


async def demo(directory: Path, *arguments: str) -> asyncio.subprocess.Process:
    root = Path(__file__).parents[2]
    path = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "edge_agent", "demo", *arguments,
        cwd=directory, env={**os.environ, "PYTHONPATH": path}, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip


@contextlib.asynccontextmanager
async def running_demo(directory: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """A demo without end, and its page's address."""
    process = await demo(directory)
    assert process.stdout is not None
    try:
        text = await line_with(process.stdout, lambda line: "http://" in line)
        match = re.search(r"http://\S+", text)
        assert match is not None
        yield process, match[0]
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
        await process.communicate()


async def line_with(stream: asyncio.StreamReader, wanted: Callable[[str], bool]) -> str:
    async with asyncio.timeout(60):
        while line := (await stream.readline()).decode():
            if wanted(line):
                return line
    raise AssertionError("the demo ended early")


async def dump(url: str, directory: Path) -> str:
    """The page's DOM after it was live for a while."""
    profile = directory / "chromium"
    process = await asyncio.create_subprocess_exec(
        *CHROMIUM, f"--user-data-dir={profile}", "--virtual-time-budget=8000", "--dump-dom", url,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    out, _ = await process.communicate()
    return out.decode(errors="replace")
