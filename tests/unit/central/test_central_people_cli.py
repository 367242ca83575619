"""`central-sync user` and `central-sync token`: words, output, exit codes, traces in the audit trail."""

import io
import json
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from central_sync.cli.commands import run_command

PASSWORD = "four quiet rivers run\n"


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Done]


@pytest.fixture
def central(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command line in this process: a start takes a second."""

    def run(*arguments: str, given: str = "") -> Done:
        monkeypatch.setattr(sys, "stdin", io.StringIO(given))
        try:
            code = run_command([*arguments, "--data", str(tmp_path / "d")])
        except SystemExit as end:
            code = int(end.code or 0)
        return Done(code, *capsys.readouterr())

    return run


def answer(done: Done) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_user_is_made_with_a_link_listed_changed_disabled_and_enabled(central: Run, tmp_path: Path) -> None:
    url = ("--url", "https://fleet.example.com/")
    made = answer(central("user", "create", "Kim", "--role", "admin", "--name", "Kim Min", *url, "--json"))
    assert made["user"]["login"] == "kim"
    assert made["link"]["link"].startswith("https://fleet.example.com/setup#")
    central("user", "create", "lee", "--role", "viewer", "--label", "site=north")
    listed = central("user", "list").stdout.splitlines()
    assert listed == [
        "kim  role admin  Kim Min  never logged in",
        "lee  role viewer  site=north  never logged in",
    ]
    assert central("user", "set-role", "lee", "operator").stdout == "lee has the role operator\n"
    assert central("user", "disable", "lee").stdout == "disabled lee\n"
    assert "disabled" in central("user", "list").stdout
    assert central("user", "enable", "lee").stdout == "enabled lee\n"
    with closing(sqlite3.connect(tmp_path / "d" / "central.db")) as connection:
        entries = connection.execute("SELECT action, actor FROM audit ORDER BY no").fetchall()
    assert [action for action, _ in entries] == [
        "user.create", "user.link", "user.create", "user.link", "user.patch", "user.patch", "user.patch",
    ]  # fmt: skip
    assert {actor.partition(":")[0] for _, actor in entries} == {"cli"}


def test_a_password_comes_from_the_input_and_goes_nowhere_else(central: Run, tmp_path: Path) -> None:
    central("user", "create", "kim", "--role", "admin", "--password-stdin", given=PASSWORD)
    other = "nine loud storms pass"
    done = central("user", "set-password", "kim", given=f"{other}\n")
    assert done.stdout == "set the password of kim\n"
    assert answer(central("user", "list", "--json"))[0]["has_password"] is True
    stored = b"".join(path.read_bytes() for path in (tmp_path / "d").iterdir())
    assert PASSWORD.strip().encode() not in stored
    assert other.encode() not in stored
    assert b"$argon2id$v=19$m=65536,t=3,p=1$" in stored


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["user", "create", "kim", "--role", "root"], 2, "--role"),
        (["user", "create", "Kim Min", "--role", "viewer"], 2, "login"),
        (["user", "create", "kim", "--role", "viewer", "--label", "north"], 2, "key=value"),
        (["user", "create", "kim", "--role", "viewer", "--password-stdin"], 2, "10 characters"),
        (["token", "create", "--role", "viewer", "--area", "device:read"], 2, "devices:read"),
        (["token", "create", "--role", "viewer", "--expires", "90"], 2, "90d"),
        (["token", "create", "--device", "press-1", "--area", "devices:read"], 2, "--role"),
        (["user", "list"], 3, "central.db"),
    ],
)
def test_wrong_use_says_what_to_do(central: Run, arguments: list[str], code: int, says: str) -> None:
    done = central(*arguments, given="short\n")
    assert (done.returncode, done.stdout) == (code, "")
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_what_cannot_be_done_is_exit_code_1(central: Run) -> None:
    central("user", "create", "kim", "--role", "admin")
    for arguments, says in (
        (["user", "create", "kim", "--role", "viewer"], "already"),
        (["user", "disable", "kim"], "last admin"),
        (["user", "disable", "nobody"], "no user nobody"),
        (["user", "setup-link"], "there are users"),
        (["token", "revoke", "0123456789ab"], "no token"),
    ):
        done = central(*arguments)
        assert (done.returncode, done.stdout) == (1, ""), arguments
        assert says in done.stderr


def test_a_token_has_a_name_an_end_labels_and_areas(central: Run) -> None:
    made = answer(
        central(
            "token",
            "create",
            "--role",
            "engineer",
            "--name",
            "report",
            "--expires",
            "90d",
            "--label",
            "site=north",
            "--area",
            "devices:read",
            "--area",
            "values:read",
            "--json",
        )
    )
    assert made["token"].startswith(f"hf_{made['id']}_")
    assert (made["role"], made["name"], made["labels"]) == ("engineer", "report", {"site": "north"})
    assert made["expires"] - made["created"] == 90 * 86_400_000
    line = central("token", "list").stdout
    assert "role engineer  report  site=north  devices:read,values:read  until " in line
    assert made["token"].split("_", 2)[2] not in line


def test_the_link_for_the_first_admin_is_printed_without_a_user_alone(central: Run) -> None:
    link = central("user", "setup-link", "--url", "https://fleet.example.com").stdout.splitlines()
    assert link[0].startswith("https://fleet.example.com/setup#")
    assert link[1].startswith("good once, until ")
    again = answer(central("user", "setup-link", "--json"))
    assert again["link"].startswith("/setup#")


def test_without_argon2_a_link_comes_with_what_to_install(
    central: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "argon2", None)
    made = central("user", "create", "kim", "--role", "admin")
    assert made.returncode == 0
    assert "pip install 'holdfast[central]'" in made.stderr
    assert "pip install 'holdfast[central]'" in central("user", "setup-link", "kim").stderr
