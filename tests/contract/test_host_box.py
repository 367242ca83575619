"""The host driver with files that hang, a tegrastats of ours, and the machine that the tests run on."""

import asyncio
import os
import stat
import struct
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from edge_agent.contracts.driver import Browsing, Reading
from edge_agent.drivers.host.client import HostDriver
from edge_agent.drivers.host.plan import HostPlan, plan
from edge_agent.drivers.host.settings import HostConnection
from edge_agent.wire.quality import Quality, QualityRun
from tests.contract.driver_bench import until

TEGRASTATS = """#!/bin/sh
echo $$ >> "{directory}/began"
echo 'RAM 2636/30536MB (lfb 6423x4MB) CPU [22%@729,off] GR3D_FREQ {gpu}%@[611,0] VDD_IN 5079mW/5079mW'
{then}
"""


class Box:
    """A driver of a directory that looks like a machine, or of the machine itself."""

    def __init__(
        self, addresses: list[str], tegrastats: str = "/nowhere/tegrastats", **transport: Any
    ) -> None:
        tags = [{"name": address, "address": address} for address in addresses]
        settings = HostConnection.model_validate(
            {
                "name": "box", "transport": {"timeout": "200ms", **transport},
                "groups": [{"name": "g", "interval": "1s", "tags": tags}] if tags else [],
            }
        )  # fmt: skip
        self.driver = HostDriver(settings, tegrastats)
        self.plans: list[HostPlan] = [plan(settings, group) for group in settings.groups]

    async def read(self) -> tuple[tuple[float, ...], Reading]:
        reading = await self.driver.read(self.plans[0])
        row = reading.row or bytes(self.plans[0].schema.row_bytes)
        return struct.unpack(f"<{len(row) // 8}d", row), reading


@pytest.fixture
async def boxes() -> AsyncIterator[list[Box]]:
    made: list[Box] = []
    yield made
    for box in made:
        await box.driver.close()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root/proc").mkdir(parents=True)
    (tmp_path / "root/proc/uptime").write_text("12.5 9\n")
    (tmp_path / "root/proc/loadavg").write_text("0.25 1.50 7.75 3/1234 99\n")
    return tmp_path / "root"


def a_program(directory: Path, then: str, gpu: int = 7) -> Path:
    path = directory / "tegrastats"
    path.write_text(TEGRASTATS.format(directory=directory, then=then, gpu=gpu))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


async def test_a_file_that_hangs_is_passed_over_and_comes_back(root: Path, boxes: list[Box]) -> None:
    os.mkfifo(root / "proc/meminfo")
    box = Box(["uptime:seconds", "memory:total", "load:1m"], root=str(root))
    boxes.append(box)
    await box.driver.connect()
    values, reading = await box.read()
    assert values[0] == 12.5
    assert not reading.unanswered
    assert [run.quality for run in reading.quality] == [Quality.BAD_COMM]
    begun = asyncio.get_running_loop().time()
    for _ in range(3):  # what comes behind it is read again, and costs no time-out any more
        values, reading = await box.read()
        assert (values[0], values[2]) == (12.5, 0.25)
        assert reading.quality == (QualityRun(1, 1, Quality.BAD_COMM),)
    assert asyncio.get_running_loop().time() - begun < 0.2
    end = os.open(root / "proc/meminfo", os.O_WRONLY)
    (root / "proc/meminfo").unlink()
    (root / "proc/meminfo").write_text("MemTotal: 4 kB\nMemAvailable: 1 kB\n")
    os.close(end)
    async with asyncio.timeout(5):
        while (await box.read())[1].quality:
            await asyncio.sleep(0.01)
    assert (await box.read())[0] == (12.5, 4096, 0.25)


async def test_a_missing_sensor_is_bad_alone(root: Path, boxes: list[Box]) -> None:
    box = Box(["uptime:seconds", "temp:coretemp/Core 0", "power:package-0", "disk:/mnt:free"], root=str(root))
    boxes.append(box)
    await box.driver.connect()
    values, reading = await box.read()
    assert values[0] == 12.5
    assert reading.quality == (QualityRun(1, 3, Quality.BAD_CONFIG),)
    assert "edge-agent browse" in (reading.errors or {})["power:package-0"]


async def test_tegrastats_is_read_and_ended_with_the_driver(
    root: Path, tmp_path: Path, boxes: list[Box]
) -> None:
    program = a_program(tmp_path, "exec sleep 60")
    box = Box(["jetson:gpu_usage_percent", "jetson:power_vdd_in_watts", "uptime:seconds"], root=str(root),
              tegrastats=str(program), timeout="5s")  # fmt: skip
    boxes.append(box)
    await box.driver.connect()
    values, reading = await box.read()
    assert (values, reading.quality) == ((7.0, 5.079, 12.5), ())
    child = int((tmp_path / "began").read_text())
    await box.driver.close()
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


async def test_a_tegrastats_that_ends_leaves_the_box_readable_and_is_not_begun_in_a_circle(
    root: Path, tmp_path: Path, boxes: list[Box]
) -> None:
    program = a_program(tmp_path, "exit 1")
    box = Box(["jetson:gpu_usage_percent", "uptime:seconds"], root=str(root), tegrastats=str(program),
              timeout="5s")  # fmt: skip
    boxes.append(box)
    await box.driver.connect()
    await box.read()

    async def ended() -> bool:
        return "ended" in str((await box.read())[1].errors)

    async with asyncio.timeout(5):
        while not await ended():
            await asyncio.sleep(0.005)
    for _ in range(20):
        values, reading = await box.read()
        assert values[1] == 12.5
        assert reading.quality == (QualityRun(0, 1, Quality.BAD_COMM),)
    assert len((tmp_path / "began").read_text().split()) == 1


async def test_without_a_tegrastats_its_tags_say_what_it_is(root: Path, boxes: list[Box]) -> None:
    box = Box(
        ["jetson:gpu_usage_percent", "uptime:seconds"], root=str(root), tegrastats="/nowhere/tegrastats"
    )
    boxes.append(box)
    await box.driver.connect()
    values, reading = await box.read()
    assert values[1] == 12.5
    assert reading.quality == (QualityRun(0, 1, Quality.BAD_CONFIG),)
    assert "Jetson boards" in str(reading.errors)


async def test_this_machine(boxes: list[Box]) -> None:
    """The first read has no rates, the second has."""
    addresses = ["cpu:usage", "cpu:cores", "memory:used_percent", "load:1m", "uptime:seconds", "disk:/:free"]
    box = Box([*addresses, "net:lo:rx_bytes"], timeout="5s")
    boxes.append(box)
    await box.driver.connect()
    _, reading = await box.read()
    assert reading.quality == (QualityRun(0, 1, Quality.UNCERTAIN),)
    held: list[tuple[float, ...]] = []

    async def has_rates() -> bool:
        values, reading = await box.read()
        held.append(values)
        return not reading.quality

    async with asyncio.timeout(5):
        while not await has_rates():
            await asyncio.sleep(0.05)
    usage, cores, used, load, uptime, free, received = held[-1]
    assert 0 <= usage <= 100
    assert cores == os.cpu_count()
    assert 0 < used < 100
    assert load >= 0
    assert abs(uptime - float(Path("/proc/uptime").read_text().split()[0])) < 5
    assert free <= os.statvfs("/").f_blocks * os.statvfs("/").f_frsize
    assert received >= 0


async def test_what_this_machine_offers_can_be_read(boxes: list[Box]) -> None:
    seen = Box([], timeout="5s")
    boxes.append(seen)
    await seen.driver.connect()
    assert isinstance(seen.driver, Browsing)
    tags = [each async for each in seen.driver.browse("", 2)]
    assert all(each.is_tag for each in tags)
    kinds = {each.address.partition(":")[0] for each in tags}
    assert kinds >= {"cpu", "load", "memory", "uptime", "disk", "net"}
    assert len({each.path for each in tags}) == len(tags)
    assert ("server_cpu_usage_percent",) in {each.path for each in tags}
    memory = [each.address async for each in seen.driver.browse("memory:", 1)]
    assert memory
    assert all(address.startswith("memory:") for address in memory)
    reader = Box([each.address for each in tags], timeout="5s")
    boxes.append(reader)
    await reader.driver.connect()
    _, reading = await reader.read()
    bad = {run.quality for run in reading.quality} - {Quality.UNCERTAIN}
    assert bad <= {Quality.BAD_DEVICE}, reading.errors


async def test_psutil_finds_the_same(boxes: list[Box]) -> None:
    """What does not move meanwhile is equal; what grows lies between two looks of psutil's."""
    addresses = ["cpu:cores", "memory:total", "swap:total", "disk:/:total", "net:lo:rx_bytes", "net:lo:link"]
    box = Box(addresses, timeout="5s")
    boxes.append(box)
    await box.driver.connect()
    before = psutil.net_io_counters(pernic=True)["lo"].bytes_recv
    (cores, memory, swap, disk, received, link), reading = await box.read()
    after = psutil.net_io_counters(pernic=True)["lo"].bytes_recv
    assert not reading.quality
    assert cores == psutil.cpu_count()
    assert memory == psutil.virtual_memory().total
    assert swap == psutil.swap_memory().total
    assert disk == psutil.disk_usage("/").total
    assert before <= received <= after
    assert link == psutil.net_if_stats()["lo"].isup


async def test_closing_leaves_no_thread_that_reads(root: Path, boxes: list[Box]) -> None:
    before = threading.active_count()
    box = Box(["uptime:seconds"], root=str(root))
    for _ in range(5):
        await box.driver.connect()
        await box.read()
    await box.driver.close()
    await until(lambda: threading.active_count() <= before)
