"""A program beside a running centre: what it writes stays, and so does what the centre writes."""

import asyncio
import sqlite3
import subprocess
import sys
from pathlib import Path

from central_sync.store.database import DATABASE_NAME, prepare
from tests.unit.central.conftest import OpenHouse


async def test_the_database_is_prepared_without_dropping_the_locks_of_this_process(
    open_house: OpenHouse,
) -> None:
    """Closing any descriptor of the file drops them; the last other program would then take the log away,
    and with it whatever was written since."""
    async with open_house() as house:
        await asyncio.to_thread(prepare, house.data)
        for name in ("a", "b"):
            command = ["token", "create", "--role", "viewer", "--name", name, "--data", str(house.data)]
            await asyncio.to_thread(
                subprocess.run,
                [sys.executable, "-m", "central_sync", *command],
                check=True,
                capture_output=True,
            )
        assert (house.data / f"{DATABASE_NAME}-wal").exists()
        await house.ask("POST", "/api/fleet/provision/pre-register", "admin", b'{"device_id": "p"}')
    assert await asyncio.to_thread(_names, house.data) == ["a", "b"]


def _names(data: Path) -> list[str]:
    with sqlite3.connect(data / DATABASE_NAME) as connection:
        rows = connection.execute("SELECT name FROM token WHERE name <> '' ORDER BY name").fetchall()
    connection.close()
    return [row[0] for row in rows]
