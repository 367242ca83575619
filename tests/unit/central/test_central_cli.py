"""`python -m central_sync`: words, output, exit codes, stopping."""

import json
import random
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from central_sync import app
from central_sync.settings import Settings, SettingsError, load_settings

Run = Callable[..., "subprocess.CompletedProcess[str]"]
TLS = Path(__file__).parents[2] / "golden" / "tls"
REFERENCE = Path(__file__).parents[3] / "docs" / "api.md"


@pytest.fixture
def central(tmp_path: Path) -> Run:
    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "central_sync", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=40, check=False, cwd=tmp_path)

    return run


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Starts `central-sync run` and returns the process and what it printed when ready."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> tuple["subprocess.Popen[str]", dict[str, Any]]:
        command = [
            sys.executable, "-m", "central_sync", "run", "--json", "--listen", "127.0.0.1:0",
            "--data", str(tmp_path / "data"), *arguments,
        ]  # fmt: skip
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=tmp_path
        )
        started.append(process)
        assert process.stdout is not None
        return process, json.loads(process.stdout.readline())

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait(20)
        if process.stdout is not None:
            process.stdout.close()


def test_a_token_is_printed_alone_and_only_its_hash_is_kept(central: Run, tmp_path: Path) -> None:
    made = central("token", "create", "--role", "viewer", "--data", "d")
    assert made.returncode == 0
    assert re.fullmatch(r"hf_[0-9a-f]{12}_[A-Za-z0-9_-]{43}\n", made.stdout)
    secret = made.stdout.strip().split("_", 2)[2]
    assert all(secret.encode() not in path.read_bytes() for path in (tmp_path / "d").iterdir())
    assert (tmp_path / "d").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "d" / "central.db").stat().st_mode & 0o777 == 0o600


def test_tokens_are_listed_and_revoked(central: Run) -> None:
    made = json.loads(central("token", "create", "--device", "press-1", "--data", "d", "--json").stdout)
    assert (made["device"], made["role"]) == ("press-1", None)
    assert f"{made['id']}  " in central("token", "list", "--data", "d").stdout
    assert "device press-1" in central("token", "list", "--data", "d").stdout
    gone = central("token", "revoke", made["token"], "--data", "d")
    assert (gone.returncode, gone.stdout) == (0, f"revoked {made['id']}\n")
    listed = json.loads(central("token", "list", "--data", "d", "--json").stdout)
    assert listed[0]["revoked"] is not None
    unknown = central("token", "revoke", "nothing", "--data", "d")
    assert (unknown.returncode, unknown.stdout) == (1, "")


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "--listen", "0.0.0.0:8080"],
        ["run", "--listen", "here"],
        ["run", "--listen", "127.0.0.1:99999"],
        ["run", "--tls-cert", "cert.pem"],
        ["run", "--behind-proxy", "everywhere"],
        ["run", "--behind-proxy", "0.0.0.0/0"],
        ["run", "--behind-proxy", "::/0"],
        ["run", "-c", "nothing.yaml"],
        ["token", "create", "--device", "No_Good", "--data", "d"],
        ["token", "create", "--data", "d"],
        ["nonsense"],
    ],
)
def test_wrong_use_is_exit_code_2_and_a_line(central: Run, arguments: list[str]) -> None:
    wrong = central(*arguments)
    assert wrong.returncode == 2
    assert wrong.stdout == ""
    assert wrong.stderr.strip()
    assert "Traceback" not in wrong.stderr


def test_listening_beyond_loopback_without_tls_says_what_to_do(central: Run) -> None:
    refused = central("run", "--listen", "0.0.0.0:8080").stderr
    assert "--tls-cert" in refused
    assert "--behind-proxy" in refused


def test_a_taken_address_is_exit_code_3(central: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        refused = central("run", "--listen", f"127.0.0.1:{taken.getsockname()[1]}", "--data", "d")
    assert refused.returncode == 3
    assert "cannot listen" in refused.stderr


def test_data_that_cannot_be_used_is_exit_code_3(central: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert central("run", "--data", "file", "--listen", "127.0.0.1:0").returncode == 3
    assert central("token", "list", "--data", "file").returncode == 3


@pytest.mark.parametrize("action", [["list"], ["revoke", "0123456789ab"]])
def test_a_mistyped_directory_does_not_become_a_database(
    central: Run, tmp_path: Path, action: list[str]
) -> None:
    refused = central("token", *action, "--data", "typo")
    assert (refused.returncode, refused.stdout) == (3, "")
    assert "there is no central.db" in refused.stderr
    assert not (tmp_path / "typo").exists()


def test_two_services_never_share_their_data(
    central: Run, service: Callable[..., Any], tmp_path: Path
) -> None:
    service()
    second = central("run", "--data", str(tmp_path / "data"), "--listen", "127.0.0.1:0")
    assert second.returncode == 3
    assert "another central-sync" in second.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ready_is_announced_and_a_signal_stops_it_cleanly(
    service: Callable[..., Any], number: signal.Signals
) -> None:
    process, ready = service()
    assert ready["event"] == "ready"
    assert ready["url"] == f"http://127.0.0.1:{ready['port']}"
    assert ready["pid"] == process.pid
    with urllib.request.urlopen(f"{ready['url']}/api/fleet/health", timeout=10) as answer:
        assert json.load(answer) == {"status": "ok"}
    process.send_signal(number)
    assert process.wait(10) == 0


def test_an_open_stream_does_not_hold_up_the_stop(
    service: Callable[..., Any], central: Run, tmp_path: Path
) -> None:
    process, ready = service()
    token = central("token", "create", "--role", "viewer", "--data", str(tmp_path / "data")).stdout.strip()
    request = urllib.request.Request(
        f"{ready['url']}/api/fleet/events", headers={"Authorization": f"Bearer {token}"}
    )
    with urllib.request.urlopen(request, timeout=20) as stream:
        assert stream.readline() == b"retry: 2000\n"
        reader = threading.Thread(target=stream.read)
        reader.start()
        process.terminate()
        assert process.wait(10) == 0
        reader.join(10)
        assert not reader.is_alive()


def test_a_database_that_is_gone_ends_the_service(service: Callable[..., Any], tmp_path: Path) -> None:
    process, _ = service()
    for path in (tmp_path / "data").glob("central.db*"):
        with path.open("r+b") as file:
            file.write(random.randbytes(path.stat().st_size))
    # The next checkpoint notices, and whoever manages the service starts it afresh.
    assert process.wait(40) == 4


def test_tls_is_served_where_it_is_given(service: Callable[..., Any]) -> None:
    # A pair for 127.0.0.1 that is used nowhere else, good for a hundred years.
    cert, key = TLS / "localhost.cert.pem", TLS / "localhost.key.pem"
    _, ready = service("--tls-cert", str(cert), "--tls-key", str(key))
    assert ready["url"].startswith("https://")
    trust = ssl.create_default_context(cafile=str(cert))
    with urllib.request.urlopen(f"{ready['url']}/api/fleet/health", timeout=10, context=trust) as answer:
        assert answer.headers["Strict-Transport-Security"]


def test_check_finds_nothing_or_something(central: Run, tmp_path: Path) -> None:
    assert central("check", "--data", "d").stdout == "ok\n"
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "central.db").write_bytes(b"not a database, but long enough to be looked at" * 100)
    found = central("check", "--data", "d", "--json")
    assert found.returncode == 1
    assert json.loads(found.stdout)["ok"] is False


def test_openapi_is_printed(central: Run) -> None:
    assert json.loads(central("openapi").stdout)["openapi"] == "3.1.0"


def test_the_reference_page_is_up_to_date() -> None:
    assert REFERENCE.read_text(encoding="utf-8") == app.api_markdown(), (
        "write it anew: central-sync openapi --markdown > docs/api.md"
    )


def test_a_file_sets_and_flags_override(tmp_path: Path) -> None:
    path = tmp_path / "central.yaml"
    path.write_text(
        "data: store\nlisten: 127.0.0.1:9000\nheartbeat_interval: 1m\ntls: {cert: a.pem, key: /etc/b.pem}\n"
    )
    settings = load_settings(path, {"listen": "[::1]:0"})
    assert settings.data == tmp_path / "store"
    assert settings.tls is not None
    assert (settings.tls.cert, settings.tls.key) == (tmp_path / "a.pem", Path("/etc/b.pem"))
    assert settings.address == ("::1", 0)
    assert settings.heartbeat_seconds == 60
    assert load_settings(None, {}) == Settings()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("lisen: 127.0.0.1:1\n", ":1:1: lisen: unknown setting, did you mean listen?"),
        ("data: d\nlog_level: loud\n", ":2:1: log_level: "),
        ("heartbeat_interval: 30\n", ":1:1: heartbeat_interval: needs a duration with a unit"),
        ("tls: {cert: a}\n", "tls.key: Field required"),
        ("tls:\n  cert: a\n  kee: b\n", "tls.key"),
        ("- a\n", ":1:1: must be a mapping"),
        ("data: [\n", "not YAML"),
    ],
)
def test_a_wrong_file_is_refused_with_its_place(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "central.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError) as raised:
        load_settings(path, {})
    assert says in str(raised.value)
    assert str(raised.value).startswith(str(path))
    assert "\n" not in str(raised.value)


def test_an_empty_file_is_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "central.yaml"
    path.write_text("# nothing yet\n")
    assert load_settings(path, {}) == Settings()


def test_whoever_reads_the_beginning_alone_breaks_nothing(tmp_path: Path) -> None:
    pipe = f"{sys.executable} -m central_sync openapi | head -c 100"
    result = subprocess.run(
        ["bash", "-o", "pipefail", "-c", pipe], capture_output=True, text=True, timeout=40, check=False
    )
    assert (result.returncode, len(result.stdout), result.stderr) == (0, 100, "")


def test_help_and_wrong_words_wait_for_no_part_of_the_service() -> None:
    asked = "import sys; from central_sync.cli.arguments import parser; parser(); print(*sorted(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True).stdout
    loaded = set(shown.split())
    assert "central_sync.cli.importing_words" in loaded
    assert loaded & {"aiohttp", "pydantic", "central_sync.app"} == set()
