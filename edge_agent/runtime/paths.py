"""Where the agent keeps what must not outlive a boot: its frame ring and its local socket."""

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from edge_agent.runtime.errors import UnsafeDirectory

SOCKET_NAME: Final = "agent.sock"
# The RuntimeDirectory= of the unit file: a command line outside of systemd finds the daemon's socket.
SYSTEMD_DIRECTORY: Final = Path("/run/holdfast")
_USER_DIRECTORIES: Final = Path("/run/user")
_SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - refused below where it is somebody else's


def runtime_directory(
    configured: str | None,
    device: str,
    *,
    environ: Mapping[str, str] = os.environ,
    users: Path = _USER_DIRECTORIES,
    shared: Path = _SHARED_MEMORY,
) -> Path:
    """The agent's private directory in memory, created (0700) where it is missing.

    configured: `agent.runtime_dir`. Without it: $RUNTIME_DIRECTORY (systemd), else
    `/run/user/UID/holdfast-DEVICE`, else `/dev/shm/holdfast-UID-DEVICE`.
    Raises UnsafeDirectory where it is another user's, open to others for writing, or cannot be made.
    """
    path = _chosen(configured, device, environ, users, shared)
    try:
        path.mkdir(mode=0o700, parents=configured is not None, exist_ok=True)
        status = path.lstat() if configured is None else path.stat()
    except OSError as error:
        raise UnsafeDirectory(
            f"{path}: cannot be made: {error.strerror}; set agent.runtime_dir to a directory in memory"
        ) from error
    if not stat.S_ISDIR(status.st_mode):
        raise UnsafeDirectory(f"{path}: is not a directory; remove it or set agent.runtime_dir")
    if status.st_uid != os.geteuid():
        raise UnsafeDirectory(
            f"{path}: belongs to user {status.st_uid} and not to {os.geteuid()}; set agent.runtime_dir"
        )
    if status.st_mode & 0o022:
        raise UnsafeDirectory(f"{path}: others may write here; run `chmod 700 {path}`")
    return path


def find_socket(
    configured: str | None,
    device: str,
    *,
    environ: Mapping[str, str] = os.environ,
    users: Path = _USER_DIRECTORIES,
    shared: Path = _SHARED_MEMORY,
    systemd: Path = SYSTEMD_DIRECTORY,
) -> Path:
    """The socket of the device's agent, for a command line that may run as another user than the daemon.

    The first that exists of the places in which an agent of this device would have put it; where there
    is none, the place in which this user's agent would. Creates nothing.
    """
    own = _chosen(configured, device, environ, users, shared) / SOCKET_NAME
    places = [own] if configured else [own, systemd / SOCKET_NAME]
    return next((path for path in places if _exists(path)), own)


def _chosen(
    configured: str | None, device: str, environ: Mapping[str, str], users: Path, shared: Path
) -> Path:
    if configured:
        return Path(configured)
    given = environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
    if given:
        return Path(given)
    user = os.geteuid()
    private = users / str(user)
    if _is_own_directory(private, user):
        return private / f"holdfast-{device}"
    return shared / f"holdfast-{user}-{device}"


def _is_own_directory(path: Path, user: int) -> bool:
    try:
        status = path.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == user


def _exists(path: Path) -> bool:
    try:
        path.lstat()
    except PermissionError:
        return True  # whoever connects will be told that it may not
    except OSError:
        return False
    return True
