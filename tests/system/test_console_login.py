"""The first person at a new centre, in a browser: the printed link, a password, the devices, signing out."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from central_sync import app
from tests.system.browser import Tab, browser

ROOT = Path(__file__).parents[2]
PASSWORD = "four quiet rivers run"


@contextlib.asynccontextmanager
async def centre(data: Path) -> AsyncIterator[dict[str, Any]]:
    """`central-sync run`, and what it printed when it was ready."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "central_sync", "run", "--json", "--data", str(data), "--listen", "127.0.0.1:0",
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            yield json.loads(await process.stdout.readline())
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.communicate()


async def fill(tab: Tab, form: str, **values: str) -> None:
    """Types into a form's fields by id, and sends it."""
    await tab.wait_for(f"document.getElementById('{form}') !== null")
    for name, text in values.items():
        await tab.run(f"document.getElementById('{name}').value = {json.dumps(text)}")
    await tab.run(f"document.getElementById('{form}').requestSubmit()")


@pytest.mark.timeout(150)
async def test_link_password_devices_sign_out_and_sign_in(tmp_path: Path) -> None:
    data = tmp_path / "data"
    await asyncio.to_thread(app.create_token, data, None, "press-1")
    async with centre(data) as ready, browser(tmp_path / "chromium", "en") as tab:
        assert ready["setup"].startswith(f"{ready['url']}/setup#")
        await tab.open(ready["setup"], 1200, 900)
        await tab.wait_for("location.hash === ''")
        await fill(tab, "setup-form", login="kim", name="Kim Min", password=PASSWORD, again=PASSWORD)
        await shows_devices(tab)
        assert await tab.run("document.cookie") == ""
        assert await tab.run("sessionStorage.length") == 0

        await tab.run("document.getElementById('sign-out').click()")
        await tab.wait_for("!document.getElementById('sign-in').hidden")
        assert await tab.run("document.getElementById('totals').innerText") == ""
        assert await tab.run("document.getElementById('devices').childElementCount") == 0
        assert await tab.run("fetch('/api/fleet/me').then((answer) => answer.status)") == 401
        await tab.call("Page.reload")
        await tab.wait_for("document.readyState === 'complete' && !document.getElementById('sign-in').hidden")

        await fill(tab, "login-form", login="kim", password="not this one")
        await tab.wait_for("document.getElementById('sign-in-error').textContent.includes('wrong')")
        await fill(tab, "login-form", login="kim", password=PASSWORD)
        await shows_devices(tab)
        await tab.call("Page.reload")
        await shows_devices(tab)

        await tab.call("Page.navigate", url=ready["setup"])
        await fill(tab, "setup-form", login="lee", password="nine loud storms", again="nine loud storms")
        await tab.wait_for("document.getElementById('error').textContent.includes('used or expired')")


async def shows_devices(tab: Tab) -> None:
    await tab.wait_for("location.pathname === '/' && !document.getElementById('main').hidden")
    await tab.wait_for("document.getElementById('devices').innerText.includes('press-1')")
    await tab.wait_for("document.getElementById('who').textContent === 'kim, admin'")
