"""A Debian in a container of its own, under its own systemd: a machine to install Holdfast on.

The tree is made once by debootstrap, from the mirror that this machine uses, and kept in build/. It is
never written to: each machine runs on an overlay of it in memory, and is gone when it is stopped. The
container sees no network but its own loopback.
"""

import contextlib
import json
import re
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

ROOT: Final = Path(__file__).parents[2]
CACHE: Final = ROOT / "build" / "debian"
PREFIX: Final = "/opt/holdfast"
_SUITE: Final = "bookworm"
_PACKAGES: Final = ("dbus", "procps", "python3", "python3-venv", "systemd", "systemd-sysv")
_DEFAULT_MIRROR: Final = "http://deb.debian.org/debian"
_BOOT_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 30.0
_BUILD_SECONDS: Final = 600.0


def run(*arguments: object, timeout: float = 120.0, check: bool = True) -> str:
    """Standard output. A failure shows both streams."""
    answer = subprocess.run(
        [str(argument) for argument in arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    if check and answer.returncode != 0:
        raise AssertionError(
            f"{' '.join(map(str, arguments))}: exit code {answer.returncode}\n{answer.stdout}{answer.stderr}"
        )
    return answer.stdout


def until(condition: Callable[[], bool], seconds: float, what: str) -> float:
    """Waits for a condition with a deadline; how long it took."""
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() - begin < seconds, f"{what}: not within {seconds} s"
        time.sleep(0.1)
    return time.monotonic() - begin


def debian() -> Path:
    """The tree, made where it is missing or was made of other packages."""
    tree = CACHE / "tree"
    stamp = CACHE / "made-of"
    wanted = " ".join((_SUITE, *_PACKAGES))
    if stamp.exists() and stamp.read_text() == wanted:
        return tree
    shutil.rmtree(CACHE, ignore_errors=True)
    CACHE.mkdir(parents=True)
    run(
        "debootstrap", "--variant=minbase", f"--include={','.join(_PACKAGES)}", _SUITE, tree, _mirror(),
        timeout=_BUILD_SECONDS,
    )  # fmt: skip
    # Each machine is one of its own. An empty file is no first boot, which would enable networkd.
    (tree / "etc/machine-id").write_text("")
    stamp.write_text(wanted)
    return tree


def _mirror() -> str:
    """Where this machine has its Debian packages from."""
    sources = Path("/etc/apt")
    for path in [*sources.glob("sources.list.d/*.sources"), *sources.glob("sources.list.d/*.list"),
                 sources / "sources.list"]:  # fmt: skip
        for line in path.read_text().splitlines() if path.exists() else []:
            found = re.match(r"(?:URIs:|deb(?: \[[^]]*\])?)\s+(\S+/debian/?)(?:\s|$)", line)
            if found:
                return found[1]
    return _DEFAULT_MIRROR


def wheelhouse(directory: Path) -> Path:
    """The distribution as a wheel, built from this tree, and all that it needs on Debian's Python."""
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
    run(*pip, "wheel", "--no-deps", "--wheel-dir", directory, ROOT, timeout=_BUILD_SECONDS)
    (wheel,) = directory.glob("holdfast-*.whl")
    run(
        *pip, "download", "--only-binary", ":all:", "--python-version", "3.11", "--dest", directory,
        f"{wheel}[central,speed,hooks]", timeout=_BUILD_SECONDS,
    )  # fmt: skip
    return directory


class Machine:
    """A booted container; `with` stops it. Paths of `path` are those of the host for files in it."""

    def __init__(self, tree: Path, wheels: Path) -> None:
        self._name = f"holdfast-{uuid.uuid4().hex[:8]}"
        # Without a systemd on this machine nobody can register the container or give it a scope.
        alone = [] if Path("/run/systemd/system").exists() else ["--keep-unit"]
        self._command = [
            "systemd-nspawn", "--quiet", "--boot", "--register=no", *alone, "--private-network",
            "--volatile=overlay", "--console=pipe", f"--machine={self._name}", f"--hostname={self._name}",
            f"--bind-ro={wheels}:/wheels", "--link-journal=no", f"--directory={tree}",
            # To read whether the clock is synchronised; containers have no such right by default.
            "--system-call-filter=adjtimex clock_adjtime",
            # What workers of hooks confine themselves with.
            "--system-call-filter=seccomp landlock_create_ruleset landlock_restrict_self",
        ]  # fmt: skip
        self._container: subprocess.Popen[bytes] | None = None
        self._leader = 0

    def __enter__(self) -> Self:
        self._container = subprocess.Popen(
            self._command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        try:
            until(self._has_booted, _BOOT_SECONDS, "the container boots")
        except AssertionError:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        assert self._container is not None
        self._container.terminate()  # nspawn asks the systemd within to power off
        try:
            self._container.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._container.kill()
            self._container.wait()
        assert self._container.stderr is not None
        self._container.stderr.close()

    def _has_booted(self) -> bool:
        assert self._container is not None
        if self._container.poll() is not None:
            assert self._container.stderr is not None
            raise AssertionError(f"systemd-nspawn ended: {self._container.stderr.read().decode()}")
        children = (
            Path(f"/proc/{self._container.pid}/task/{self._container.pid}/children").read_text().split()
        )
        if not children:
            return False
        self._leader = int(children[0])
        state = self.do("systemctl", "is-system-running", check=False).strip()
        return state in ("running", "degraded")

    def do(self, *arguments: object, timeout: float = 120.0, check: bool = True) -> str:
        """A command within, as root; its standard output."""
        enter = (
            "nsenter",
            f"--target={self._leader}",
            "--mount",
            "--uts",
            "--ipc",
            "--net",
            "--pid",
            "--cgroup",
        )
        clean = ("env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8")
        return run(*enter, *clean, *arguments, timeout=timeout, check=check)

    def path(self, path: str) -> Path:
        return Path(f"/proc/{self._leader}/root") / path.lstrip("/")

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        target = self.path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(mode)

    # --- units -----------------------------------------------------------------------------------

    def show(self, unit: str, name: str) -> str:
        return self.do("systemctl", "show", "--value", f"--property={name}", unit).strip()

    def pid(self, unit: str) -> int:
        """Of the main process, within; 0: none runs."""
        return int(self.show(unit, "MainPID"))

    def host_pid(self, unit: str) -> int:
        """Of the main process, as this machine sees it."""
        within = str(self.pid(unit))
        space = Path(f"/proc/{self._leader}/ns/pid").readlink()
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if (process / "ns/pid").readlink() == space:
                    numbers = re.search(r"^NSpid:(.*)$", (process / "status").read_text(), re.MULTILINE)
                    if numbers is not None and numbers[1].split()[-1] == within:
                        return int(process.name)
        raise AssertionError(f"{unit} does not run")

    def is_active(self, unit: str) -> bool:
        return self.show(unit, "ActiveState") == "active"

    def restarts(self, unit: str) -> int:
        return int(self.show(unit, "NRestarts"))

    def journal(self, *matches: str) -> list[dict[str, Any]]:
        """The entries that have these fields, such as `DEVICE=press-1`, oldest first."""
        self.do("journalctl", "--sync", check=False)
        lines = self.do("journalctl", "--no-pager", "--output=json", "--all", *matches).splitlines()
        return [json.loads(line) for line in lines]
