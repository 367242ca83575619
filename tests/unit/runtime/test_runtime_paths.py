import os
import socket
import stat
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edge_agent.contracts.errors import ConfigError
from edge_agent.runtime.errors import UnsafeDirectory
from edge_agent.runtime.paths import SOCKET_NAME, find_socket, runtime_directory

USER = os.geteuid()


@dataclass
class Places:
    """The directories of a machine, below a temporary one."""

    root: Path
    environ: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("users", "shared", "systemd"):
            (self.root / name).mkdir()

    def directory(self, configured: str | None = None) -> Path:
        return runtime_directory(
            configured,
            "press-1",
            environ=self.environ,
            users=self.root / "users",
            shared=self.root / "shared",
        )

    def socket(self, configured: str | None = None) -> Path:
        return find_socket(
            configured,
            "press-1",
            environ=self.environ,
            users=self.root / "users",
            shared=self.root / "shared",
            systemd=self.root / "systemd",
        )


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_configured_directory_comes_first(places: Places) -> None:
    places.environ["RUNTIME_DIRECTORY"] = str(places.root / "by-systemd")
    path = places.directory(str(places.root / "a" / "b"))
    assert path == places.root / "a" / "b"
    assert _mode(path) == 0o700


def test_then_the_one_that_systemd_made(places: Places) -> None:
    (places.root / "by-systemd").mkdir(mode=0o755)
    places.environ["RUNTIME_DIRECTORY"] = f"{places.root / 'by-systemd'}:/run/another"
    assert places.directory() == places.root / "by-systemd"


def test_then_one_below_the_users(places: Places) -> None:
    (places.root / "users" / str(USER)).mkdir()
    path = places.directory()
    assert path == places.root / "users" / str(USER) / "holdfast-press-1"
    assert _mode(path) == 0o700
    assert places.directory() == path, "a second start takes it again"


def test_then_shared_memory(places: Places) -> None:
    assert places.directory() == places.root / "shared" / f"holdfast-{USER}-press-1"


def test_a_directory_of_another_user_is_refused(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    path = places.root / "shared" / f"holdfast-{USER + 1}-press-1"
    path.mkdir(mode=0o700)
    monkeypatch.setattr(os, "geteuid", lambda: USER + 1)
    with pytest.raises(UnsafeDirectory, match=f"belongs to user {USER} and not to {USER + 1}"):
        places.directory()


def test_a_link_in_shared_memory_is_refused(places: Places) -> None:
    (places.root / "theirs").mkdir(mode=0o700)
    (places.root / "shared" / f"holdfast-{USER}-press-1").symlink_to(places.root / "theirs")
    with pytest.raises(UnsafeDirectory, match="not a directory"):
        places.directory()


def test_a_directory_that_others_may_write_is_refused(places: Places) -> None:
    path = places.root / "open"
    path.mkdir()
    path.chmod(0o777)
    with pytest.raises(UnsafeDirectory, match="chmod 700"):
        places.directory(str(path))


def test_a_directory_that_cannot_be_made_is_a_config_error(places: Places) -> None:
    (places.root / "file").write_text("")
    with pytest.raises(ConfigError, match="set agent"):
        places.directory(str(places.root / "file" / "below"))


def test_the_socket_is_found_where_the_service_has_it(places: Places) -> None:
    own = places.root / "shared" / f"holdfast-{USER}-press-1" / SOCKET_NAME
    assert places.socket() == own, "nothing runs: where this user's agent would have it"
    assert not own.parent.exists(), "looking makes nothing"
    with socket.socket(socket.AF_UNIX) as service:
        service.bind(str(places.root / "systemd" / SOCKET_NAME))
        assert places.socket() == places.root / "systemd" / SOCKET_NAME
        assert places.socket("/elsewhere") == Path("/elsewhere") / SOCKET_NAME
    places.directory()
    own.touch()
    assert places.socket() == own
