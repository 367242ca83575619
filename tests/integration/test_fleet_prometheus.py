"""A Prometheus that others wrote scrapes the centre and finds the agents through it (Debian package
`prometheus`); its own tool accepts the exposition."""

import asyncio
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml

from edge_agent.wire.messages import BufferReport, ConnectionReport
from tests.unit.central.conftest import House, OpenHouse, foundation, open_house
from tests.unit.central.edge import Edge

__all__ = ["foundation", "open_house"]


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _config(house: House) -> dict[str, Any]:
    """One job scrapes the centre; the other what the centre names: itself, under a device's name."""
    # Prometheus 2.42 sends no `Bearer` to service discovery unless it is told to.
    rights = {"type": "Bearer", "credentials": house.tokens["viewer"]}
    path = {"metrics_path": "/api/fleet/prometheus", "authorization": rights}
    url = f"{house.centre.url}/api/fleet/sd?loopback=true"
    label = {"source_labels": ["__meta_holdfast_device"], "target_label": "device"}
    return {
        "global": {"scrape_interval": "1s"},
        "scrape_configs": [
            {
                "job_name": "centre",
                "static_configs": [{"targets": [f"{house.centre.host}:{house.centre.port}"]}],
                **path,
            },
            {
                "job_name": "agents",
                "http_sd_configs": [{"url": url, "authorization": rights, "refresh_interval": "1s"}],
                "relabel_configs": [label],
                **path,
            },
        ],
    }


@asynccontextmanager
async def _prometheus(house: House, directory: Path) -> AsyncIterator[str]:
    file = directory / "prometheus.yaml"
    file.write_text(yaml.safe_dump(_config(house)))
    address = f"127.0.0.1:{_free_port()}"
    process = await asyncio.create_subprocess_exec(
        "prometheus", f"--config.file={file}", f"--storage.tsdb.path={directory / 'tsdb'}",
        f"--web.listen-address={address}", "--log.level=error",
    )  # fmt: skip
    try:
        yield f"http://{address}"
    finally:
        process.terminate()
        await process.wait()


async def _ask(house: House, url: str) -> Any:
    try:
        async with house.session.get(url) as answer:
            return (await answer.json())["data"] if answer.status == 200 else None
    except OSError:
        return None


async def _beat(house: House) -> None:
    await house.beat(
        Edge(),
        metrics_listen=f"{house.centre.host}:{house.centre.port}",
        connections=[ConnectionReport(name="p", driver="modbus", state="down", error='"quoted"\nlines')],
        connections_total=1,
        buffer=BufferReport(pending_batches=3),
        labels={"site/plant": "north"},
    )


async def test_prometheus_scrapes_the_centre_and_the_agents_that_it_names(
    open_house: OpenHouse, tmp_path: Path
) -> None:
    async with open_house() as house:
        await _beat(house)
        async with _prometheus(house, tmp_path) as url, asyncio.timeout(50):
            found: dict[str, Any] = {}
            while set(found) != {"centre", "agents"}:
                await asyncio.sleep(0.1)
                targets = (await _ask(house, f"{url}/api/v1/targets") or {}).get("activeTargets", [])
                found = {one["labels"]["job"]: one for one in targets if one["health"] == "up"}
            assert found["agents"]["labels"]["device"] == "dev-1"
            assert found["agents"]["discoveredLabels"]["__meta_holdfast_label_site_plant"] == "north"
            query = 'holdfast_fleet_units{job="centre",driver="modbus",state="down"}'
            result = await _ask(house, f"{url}/api/v1/query?query={query}")
            assert [entry["value"][1] for entry in result["result"]] == ["1"]


async def test_promtool_accepts_and_does_not_criticise_the_fleets_metrics(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await _beat(house)
        answer = await house.ask("GET", "/api/fleet/prometheus?devices=true", "viewer")
        result = await asyncio.to_thread(
            subprocess.run,
            ["promtool", "check", "metrics"],
            input=answer.body,
            capture_output=True,
            check=False,
        )
        assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")
