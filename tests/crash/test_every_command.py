"""Every type of command, ordered at a real centre and run by a real agent: its result, its log, its file."""

import asyncio
import io
import json
import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from edge_agent.demo.children import output_of
from edge_agent.wire.command_types import TYPES
from tests.crash.orders import Orders
from tests.crash.rig import DEVICE, Rig

PARAMS: dict[str, dict[str, Any]] = {
    "restart_agent": {"force": True},
    "collect_logs": {"lines": 50, "level": "info"},
    "read_tags": {"tags": ["plc00.t0", "plc01.t9", "plc00.nothing"]},
    "write_tag": {"tag": "plc00.t0", "value": 1},
    "restart_connection": {"connection": "plc01"},
    "run_diagnostics": {"checks": ["disk", "connections"]},
    "set_log_level": {"level": "debug", "seconds": 1.0},
    "flush_buffer": {"wait_delivered": True},
}


@pytest.mark.timeout(150)
async def test_each_type_does_what_it_says_and_none_writes_to_a_plc(tmp_path: Path) -> None:
    async with Rig(tmp_path, 2, 10, "200ms") as rig:
        await rig.start_centre()
        await rig.start_agent()
        data = str(rig.central_data)
        engineer = await output_of("central_sync", "token", "create", "--data", data, "--role", "engineer")
        orders, as_engineer = Orders(rig), Orders(rig, engineer)
        found: dict[str, dict[str, Any]] = {}
        for kind in TYPES:
            if kind != "restart_agent":
                orderer = as_engineer if kind == "write_tag" else orders
                command = await orderer.order(kind, PARAMS.get(kind))
                found[kind] = await orders.ended(command, 60)
        before = (await rig.status()).run
        restart = await orders.order("restart_agent", PARAMS["restart_agent"])
        assert await asyncio.wait_for(rig.agent.ended(), 30) == 0
        await rig.agent.start()
        found["restart_agent"] = await orders.ended(restart)
        written = (await rig.plc_counters())["write_requests"]
        files = {
            kind: await orders.artifact(found[kind]["id"]) for kind in ("collect_logs", "support_bundle")
        }
        said = await orders.log(found["run_diagnostics"]["id"])
        token = rig.device_token
        await rig.agent.stop()
        told = await asyncio.to_thread(_told, rig.central_database)

    assert written == 0
    # What changes the device is in its history.
    assert told == {
        "reload_config", "sync_scripts", "restart_connection", "set_log_level", "write_tag", "restart_agent",
    }  # fmt: skip
    refused = found.pop("write_tag")
    assert (refused["state"], refused["code"]) == ("rejected", "not_writable")
    # Its file does not let the centre send any.
    refused = found.pop("sync_scripts")
    assert (refused["state"], refused["code"]) == ("rejected", "not_managed")
    assert {kind: each["state"] for kind, each in found.items()} == dict.fromkeys(found, "succeeded")
    results = {kind: each["result"] for kind, each in found.items()}
    assert results["ping"]["run"] == results["restart_agent"]["run_before"] == before
    values = results["read_tags"]["values"]
    assert [value["quality"] for value in values] == ["good", "good", ""]
    assert [value["fresh"] for value in values] == [True, True, False]
    assert values[2]["error"]
    assert results["restart_connection"]["state"] == "connected"
    assert results["run_diagnostics"]["checks"][0]["check"] == "disk"
    assert "disk" in said
    assert results["set_log_level"] == {"level": "debug", "before": "info", "seconds": 1.0}
    assert results["flush_buffer"]["pending_batches"] <= 1
    assert b'"command taken"' in files["collect_logs"]
    with tarfile.open(fileobj=io.BytesIO(files["support_bundle"])) as bundle:
        assert any(name.endswith("doctor.json") for name in bundle.getnames())
        texts = [bundle.extractfile(each) for each in bundle.getmembers() if each.isfile()]
        assert not any(token.encode() in text.read() for text in texts if text is not None)
    assert token.encode() not in files["collect_logs"]
    # What was sent is not left behind.
    assert list((rig.edge_database.with_name("command-files")).iterdir()) == []
    assert found["ping"]["device_id"] == DEVICE


def _told(database: Path) -> set[str]:
    """The types of commands of which the device's history tells."""
    with closing(sqlite3.connect(database)) as db:
        rows = db.execute("SELECT data FROM event WHERE code = 'command'").fetchall()
    return {str(json.loads(row[0])["type"]) for row in rows}
