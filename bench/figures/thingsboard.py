"""ThingsBoard's IoT gateway, the peer in Python that is used most, beside Holdfast's agent: the same
simulator, the same registers, the same interval, in the same run.

The gateway comes from PyPI into a virtualenv of its own under build/, which stays between runs. Its
platform is a mosquitto on loopback with `bench.telemetry` behind it, which counts what arrives.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from bench import machine
from bench.figure import Beside, Order, Outcome, progress
from bench.plant import Load, Plant
from bench.processes import Usage, watch
from tests.crash.rig import free_port, until

_VENV: Final = machine.ROOT / "build" / "bench-thingsboard" / "venv"
_PACKAGES: Final = ("thingsboard-gateway", "paho-mqtt")
_INSTALL_SECONDS: Final = 360
_FIRST_VALUE_SECONDS: Final = 60.0
_WARM_UP_SECONDS: Final = 5.0
_STOP_SECONDS: Final = 10.0
_PATH: Final = f"{os.environ['PATH']}:/usr/sbin"
_TAGS: Final = 1000
_CONNECTIONS: Final = (1, 12)
# The most that Modbus allows; its own default of 16 makes eight times as many requests.
_REGISTERS_A_REQUEST: Final = 125


class Missing(Exception):
    """The peer cannot be measured here; the message says why."""


@dataclass(frozen=True, slots=True)
class Measured:
    """values: a second, arrived at the platform or the centre."""

    usage: Usage
    values: float


async def run(order: Order) -> list[Outcome]:
    found = []
    for connections in _CONNECTIONS:
        name = f"thingsboard_{connections * _TAGS}"
        directory = order.directory / name
        directory.mkdir()
        try:
            version = await _installed()
            found.append(await _compare(name, directory, connections, order, version))
        except (Missing, AssertionError, OSError) as error:
            # An assertion is what `until` ends with: the gateway never delivered.
            reason = {"reason": str(error)}
            found.append(Outcome(name, None, "% of a core", "", None, "ThingsBoard gateway", None, reason))
    return found


async def _installed() -> str:
    """The gateway's version, installed where it is not yet. Raises Missing."""
    if shutil.which("mosquitto", path=_PATH) is None:
        raise Missing("mosquitto is not installed")
    if not (_VENV / "bin" / "thingsboard-gateway").exists():
        progress(f"installing {' '.join(_PACKAGES)} into {_VENV.relative_to(machine.ROOT)}")
        await _command(sys.executable, "-m", "venv", str(_VENV))
        await _command(str(_VENV / "bin" / "pip"), "install", "--quiet", *_PACKAGES)
    query = "import importlib.metadata as m; print(m.version('thingsboard-gateway'))"
    return await _command(str(_VENV / "bin" / "python"), "-c", query)


async def _command(*words: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(_INSTALL_SECONDS):
            out, err = await process.communicate()
    except TimeoutError as error:
        process.kill()
        await process.wait()
        raise Missing(f"not installed within {_INSTALL_SECONDS} s") from error
    if process.returncode != 0:
        raise Missing(f"{' '.join(words)}: {err.decode(errors='replace')[-300:]}")
    return out.decode().strip()


async def _compare(name: str, directory: Path, connections: int, order: Order, version: str) -> Outcome:
    load = Load(connections=connections, tags=_TAGS)
    seconds = order.seconds / len(_CONNECTIONS) / 2
    async with Plant(directory, load) as plant:
        peer = await _gateway(directory, plant.ports, seconds)
        ours = await _agent(plant, seconds)
    return Outcome(
        name, peer.usage.cpu_percent, "% of a core", "", None,
        f"ThingsBoard gateway {version}: {connections} × {_TAGS:,} uint16 of Modbus TCP "
        f"at 1 s, ranges of {_REGISTERS_A_REQUEST} registers a request, storage in memory, "
        "MQTT to a mosquitto on loopback; CPU time of its processes, median of 5 windows; Holdfast's agent "
        "then reads the same simulator, stores durably and delivers to its centre",
        Beside("Holdfast's agent", ours.usage.cpu_percent, "% of a core",
               round(peer.usage.cpu_percent / ours.usage.cpu_percent, 2)),
        {
            "asked_values_per_second": round(load.samples_per_second),
            "values_per_second": round(peer.values),
            "pss_mib": peer.usage.pss_mib,
            "windows": peer.usage.windows,
            "holdfast_values_per_second": round(ours.values),
            "holdfast_pss_mib": ours.usage.pss_mib,
            "holdfast_windows": ours.usage.windows,
        },
    )  # fmt: skip


async def _agent(plant: Plant, seconds: float) -> Measured:
    await plant.start_agent()
    await plant.settle()
    before = (await plant.api.account()).samples
    begin = asyncio.get_running_loop().time()
    usage = (await watch({"agent": plant.agent.pid}, seconds))["agent"]
    taken = (await plant.api.account()).samples - before
    return Measured(usage, taken / (asyncio.get_running_loop().time() - begin))


async def _gateway(directory: Path, ports: Sequence[int], seconds: float) -> Measured:
    broker = free_port()
    config = directory / "mosquitto.conf"
    config.write_text(f"listener {broker} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n")
    environment = {"PATH": _PATH}
    log = directory / "mosquitto.log"
    async with _process(["mosquitto", "-c", str(config)], directory, log, environment):
        await until(_listening(broker), 10)
        python = str(_VENV / "bin" / "python")
        telemetry = [python, str(Path(__file__).parents[1] / "telemetry.py"), str(broker)]
        counts = directory / "counts.log"
        async with _process(telemetry, directory, counts, environment):
            _write_config(directory / "config", broker, ports)
            command = [str(_VENV / "bin" / "thingsboard-gateway")]
            environment |= {"TB_GW_CONFIG_DIR": str(directory / "config")}
            async with _process(command, directory, directory / "gateway.log", environment) as pid:
                return await _observe(pid, counts, seconds)


async def _observe(pid: int, counts: Path, seconds: float) -> Measured:
    async def arriving() -> bool:
        return _last_count(counts) > 0

    await until(arriving, _FIRST_VALUE_SECONDS)
    await asyncio.sleep(_WARM_UP_SECONDS)
    loop = asyncio.get_running_loop()
    begin, before = loop.time(), _last_count(counts)
    usage = (await watch({"gateway": pid}, seconds))["gateway"]
    return Measured(usage, (_last_count(counts) - before) / (loop.time() - begin))


def _last_count(counts: Path) -> int:
    lines = counts.read_text().split()
    return int(lines[-1]) if lines and lines[-1].isdigit() else 0


def _listening(port: int) -> Any:
    async def connects() -> bool:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        return True

    return connects


@contextlib.asynccontextmanager
async def _process(
    command: Sequence[str], directory: Path, log: Path, environment: dict[str, str]
) -> AsyncIterator[int]:
    """A program of others in a session of its own; its output goes to the log."""
    with log.open("ab") as stream:
        process = await asyncio.create_subprocess_exec(
            *command, cwd=directory, env=environment, stdin=asyncio.subprocess.DEVNULL,
            stdout=stream, stderr=stream, start_new_session=True,
        )  # fmt: skip
    try:
        yield process.pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


def _write_config(directory: Path, broker: int, ports: Sequence[int]) -> None:
    """Everything that costs and is not asked for is off: statistics, remote configuration, logs."""
    (directory / "logs").mkdir(parents=True)
    (directory.parent / "logs").mkdir()
    platform = {
        "host": "127.0.0.1", "port": broker, "remoteShell": False, "remoteConfiguration": False,
        "statistics": {"enable": False, "statsSendPeriodInSeconds": 3600},
        "deviceFiltering": {"enable": False, "filterFile": "list.json"},
        "maxPayloadSizeBytes": 65_536, "minPackSendDelayMS": 50, "minPackSizeToSend": 500,
        "checkConnectorsConfigurationInSeconds": 60, "handleDeviceRenaming": True,
        "security": {"type": "accessToken", "accessToken": "bench"}, "qos": 1,
        "checkingDeviceActivity": {"checkDeviceInactivity": False},
    }  # fmt: skip
    gateway = {
        "thingsboard": platform,
        "storage": {"type": "memory", "read_records_count": 100, "max_records_count": 100_000},
        "grpc": {"enabled": False},
        "connectors": [{"type": "modbus", "name": "plant", "configuration": "modbus.json"}],
    }
    logs = {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"console": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout"}},
        "root": {"level": "WARNING", "handlers": ["console"]},
        # It warns of a deprecated decoder at every value, of which the gateway knows nothing.
        "loggers": {"pymodbus": {"level": "CRITICAL"}},
    }
    master = {"slaves": [_slave(index, port) for index, port in enumerate(ports)]}
    documents = {
        "tb_gateway.json": gateway,
        "logs.json": logs,
        "list.json": {},
        "modbus.json": {"master": master},
    }
    for name, document in documents.items():
        (directory / name).write_bytes(orjson.dumps(document))


def _slave(index: int, port: int) -> dict[str, Any]:
    values = {
        "tag": "t${address}", "type": "16uint", "functionCode": 3, "objectsCount": 1,
        "address": f"0-{_TAGS - 1}", "maxRegistersPerRequest": _REGISTERS_A_REQUEST,
    }  # fmt: skip
    return {
        "host": "127.0.0.1", "port": port, "type": "tcp", "method": "socket", "unitId": 1,
        "deviceName": f"plc{index:03d}", "deviceType": "default", "timeout": 5, "byteOrder": "BIG",
        "wordOrder": "BIG", "retries": 3, "pollPeriod": 1000, "connectAttemptTimeMs": 1000,
        "connectAttemptCount": 5, "waitAfterFailedAttemptsMs": 1000, "attributes": [],
        "timeseries": [values], "attributeUpdates": [], "rpc": [],
    }  # fmt: skip
