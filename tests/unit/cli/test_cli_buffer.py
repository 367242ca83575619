"""What `edge-agent buffer` asks for and prints, and which exit codes it ends with."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from edge_agent.contracts.errors import Unavailable
from edge_agent.contracts.stored import Fault, SampleQuery, StoredSample
from tests.unit.cli.conftest import NOW_MS

AT = 1_767_225_600_123
SAMPLES = (
    StoredSample(AT, AT - 20, "프레스1", "fast", 1, "온도", 21.5, "°C", "good", "r1", 7),
    StoredSample(AT, None, "프레스1", "fast", 1, "상태", None, "", "bad_comm", "r1", 7),
    StoredSample(AT, None, "프레스1", "fast", 1, "flags", [True, False], "", "good", "r1", 7),
)
STATS: dict[str, Any] = {
    "path": "/var/lib/holdfast/buffer.db",
    "bytes": {"database": 4096, "wal": 0, "quarantine": 8192, "ballast": 4 << 20, "all": (4 << 20) + 12288},
    "quota_bytes": 2 << 30,
    "batches": {"held": 3, "delivered": 4000, "written_off": 1, "all": 4004},
    "samples": {"held": 12, "delivered": 16000, "written_off": 4},
    "unreadable_batches": 1,
    "oldest_held": NOW_MS - 90_000,
    "epochs": [
        {"no": 7, "id": "ab", "why": "salvage", "floor": 4002, "next": 4005, "held": 3, "current": True},
    ],
    "sums": [
        {"run": "r1", "connection": "프레스1", "read": 20, "suppressed": 4, "framed": 16, "held": 12,
         "delivered": 0, "lost": 4},
    ],
    "losses": [{"reason": "unreadable", "records": 2, "samples": 4, "at_most": 9}],
    "quarantine": [
        {"name": "20260101T000000Z-01", "database": "q/buffer.db", "time": NOW_MS - 3_600_000,
         "why": "file is not a database", "stage": "salvaged", "log_only": False, "bytes": 8192},
    ],
}  # fmt: skip


def test_stats_show_sizes_states_epochs_sums_losses_and_what_is_quarantined(cli: Any, app: Any) -> None:
    app.buffer.found = STATS
    assert cli("buffer", "stats", "-c", "a.yaml") == 0
    assert app.asked == [("buffer", Path("a.yaml"), None)]
    for text in (
        "size: 4.0 MiB of 2.0 GiB (0 %): database 4.0 KiB, wal 0 B, quarantine 8.0 KiB, ballast 4.0 MiB",
        "oldest to be sent: 1m 30s",
        "delivered      4,000   16,000",
        "salvage  4,002  4,005     3",
        "lost (unreadable): 4 samples, and at most 9 more, in 2 records",
        "1 batch cannot be opened: edge-agent buffer verify",
        "quarantined 1h ago (salvaged): q/buffer.db, 8.0 KiB: file is not a database",
    ):
        assert text in cli.out
    assert cli("buffer", "stats", "-c", "a.yaml", "--json") == 0
    assert json.loads(cli.out) == STATS


def test_a_file_is_looked_at_without_any_config(cli: Any, app: Any) -> None:
    app.buffer.found = STATS
    assert cli("buffer", "stats", "--from", "q/buffer.db") == 0
    assert app.asked == [("buffer", None, Path("q/buffer.db"))]


def test_verify_says_that_all_is_sound(cli: Any) -> None:
    assert cli("buffer", "verify", "--from", "b.db") == 0
    assert cli.out == "buffer.db: sound: pages, hashes, batches, frame numbers, account\n"


def test_verify_says_what_where_and_what_to_do_and_ends_with_1(cli: Any, app: Any) -> None:
    app.buffer.faults = [Fault("its body is not what was stored", "batch 7 of epoch 1", "nothing to do")]
    assert cli("buffer", "verify", "--from", "b.db") == 1
    assert cli.out == "✗ batch 7 of epoch 1: its body is not what was stored\n    → nothing to do\n"
    assert cli("buffer", "verify", "--from", "b.db", "--json") == 1
    document = json.loads(cli.out)
    assert (document["sound"], document["faults"][0]["where"]) == (False, "batch 7 of epoch 1")


def test_a_file_that_cannot_be_read_is_exit_code_3(cli: Any, app: Any) -> None:
    app.error = Unavailable("b.db: there is no such file; an agent writes it when it runs")
    for command in ("stats", "verify", "export"):
        assert cli("buffer", command, "--from", "b.db") == 3
        assert cli.err.count("\n") == 1


def test_progress_is_shown_on_a_terminal_alone(cli: Any, app: Any) -> None:
    app.buffer.found = STATS
    cli("buffer", "stats", "--from", "b.db")
    assert cli.err == ""
    cli.terminal = True
    cli("buffer", "stats", "--from", "b.db")
    assert "0 of 1 batches" in cli.err


def test_export_writes_a_sample_a_line_with_both_times(cli: Any, app: Any) -> None:
    app.buffer.stored = SAMPLES
    assert cli("buffer", "export", "--from", "b.db") == 0
    first, second, _ = map(json.loads, cli.out.splitlines())
    assert first == {
        "time": "2026-01-01T00:00:00.123Z", "source_time": "2026-01-01T00:00:00.103Z",
        "connection": "프레스1", "group": "fast", "unit_id": 1, "tag": "온도", "value": 21.5, "unit": "°C",
        "quality": "good", "run": "r1", "n": 7,
    }  # fmt: skip
    assert (second["value"], second["source_time"], second["quality"]) == (None, None, "bad_comm")


@pytest.mark.parametrize("bom", [False, True])
def test_csv_opens_in_a_spreadsheet(cli: Any, app: Any, tmp_path: Path, bom: bool) -> None:
    app.buffer.stored = SAMPLES
    argv = ["buffer", "export", "--from", "b.db", "--csv", "--out", "a.csv", *(["--bom"] if bom else [])]
    assert cli(*argv) == 0
    assert (cli.out, cli.err) == ("", "edge-agent: 3 samples written to a.csv\n")
    data = (tmp_path / "a.csv").read_bytes()
    assert data.startswith(b"\xef\xbb\xbf") == bom
    assert data.count(b"\r\n") == 4
    found = list(csv.DictReader(data.decode("utf-8-sig").splitlines()))
    assert found[0]["time"] == "2026-01-01 00:00:00.123"
    assert [row["value"] for row in found] == ["21.5", "", "[true,false]"]
    assert found[0]["tag"] == "온도"


def test_export_asks_for_times_connection_and_tags(cli: Any, app: Any) -> None:
    argv = [
        "--start",
        "2h",
        "--end",
        "2026-01-01T09:00+09:00",
        "--connection",
        "c",
        "--tag",
        "a*",
        "--tag",
        "b",
    ]
    assert cli("buffer", "export", "--from", "b.db", *argv) == 0
    assert app.buffer.queries == [SampleQuery(NOW_MS - 7_200_000, 1_767_225_600_000, "c", ("a*", "b"))]


def test_what_export_has_to_leave_out_is_said_and_exit_code_1(cli: Any, app: Any) -> None:
    app.buffer.stored = ("batch 3 of epoch 1: left out, its body is not what was stored", SAMPLES[0])
    assert cli("buffer", "export", "--from", "b.db") == 1
    assert cli.out.count("\n") == 1
    assert "left out" in cli.err


@pytest.mark.parametrize(
    "argv", [("--start", "yesterday"), ("--bom",), ("--csv", "--json"), ("--end", "5 minutes")]
)
def test_wrong_use_of_export_is_exit_code_2_and_one_line(cli: Any, argv: tuple[str, ...]) -> None:
    assert cli("buffer", "export", "--from", "b.db", *argv) == 2
    assert cli.err.count("\n") == 1
