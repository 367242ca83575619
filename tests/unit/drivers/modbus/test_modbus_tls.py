"""TLS contexts: shared by connections with the same files, and new where a file was renewed."""

import asyncio
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from edge_agent.contracts.errors import NotConnected
from edge_agent.drivers.modbus.tls import tls_context
from edge_agent.drivers.modbus.transports import TlsTransport

TLS = Path(__file__).parents[3] / "golden" / "tls"
SOON_SECONDS = 20.0


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    for name in ("cert", "key"):
        shutil.copyfile(TLS / f"localhost.{name}.pem", tmp_path / f"{name}.pem")
    cert, key = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    return {"ca_file": cert, "cert_file": cert, "key_file": key}


def transport(host: str = "h", **settings: Any) -> TlsTransport:
    return TlsTransport(type="tls", host=host, **settings)


@pytest.mark.parametrize("own_files", [False, True])
async def test_connections_with_the_same_files_share_one_context(
    files: dict[str, str], own_files: bool
) -> None:
    settings = files if own_files else {}
    async with asyncio.timeout(SOON_SECONDS), asyncio.TaskGroup() as group:
        opened = [
            group.create_task(tls_context(transport(f"plc{number}", **settings))) for number in range(20)
        ]
    assert len({id(task.result()) for task in opened}) == 1


async def test_other_files_and_renewed_ones_have_a_context_of_their_own(files: dict[str, str]) -> None:
    first = await tls_context(transport(**files))
    assert await tls_context(transport(ca_file=files["ca_file"])) is not first
    for name in ("ca_file", "key_file"):
        renewed = Path(files[name])
        os.utime(renewed, ns=(0, renewed.stat().st_mtime_ns + 1))
        second = await tls_context(transport(**files))
        assert second is not first
        first = second
    assert await tls_context(transport(**files)) is first


async def test_a_file_that_was_wrong_is_tried_again(files: dict[str, str]) -> None:
    key = Path(files["key_file"])
    text = key.read_text()
    key.unlink()
    with pytest.raises(NotConnected, match="there is no such file"):
        await tls_context(transport(**files))
    key.write_text(text)
    assert await tls_context(transport(**files))
