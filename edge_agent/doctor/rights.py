"""Check `rights`: whether the agent's user may use what the config names, and who may read secrets."""

import grp
import os
import pwd
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_agent.contracts.diagnosis import Finding, Outcome, failed, ok, warning
from edge_agent.doctor.examination import Tell
from edge_agent.doctor.mounts import MEMORY_TYPES, Mount, find_mount
from edge_agent.doctor.site import Site, serial_port_of
from edge_agent.doctor.waiting import in_thread
from edge_agent.runtime.paths import SYSTEMD_DIRECTORY, find_socket

NAME: Final = "rights"
# What systemd/install puts there. Its user cannot read /etc/holdfast/secrets, and root can.
UNIT: Final = Path("/etc/systemd/system/edge-agent.service")
UNIT_USER: Final = "holdfast"


@dataclass(frozen=True, slots=True)
class User:
    """Who examines, and who the agent runs as, or will by its unit; None: that cannot be seen. program: how
    this one is called."""

    uid: int
    name: str
    agent_uid: int | None = None
    agent_name: str = ""
    program: str = "edge-agent"

    @property
    def is_for_agent(self) -> bool:
        """Root, who examines for an agent of another user: secrets are handed to that one by systemd."""
        return self.uid == 0 and self.agent_uid not in (None, 0)


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or directory. usable: this user may do with it what the agent has to. None of it: not there."""

    path: Path
    uid: int
    group: str
    mode: int
    usable: bool


def judge_user(user: User, config: Path) -> list[Finding]:
    if user.is_for_agent:
        return [ok(f"examined as root, and the agent runs as {user.agent_name}")]
    if user.agent_uid is not None and user.agent_uid != user.uid:
        command = f"sudo {user.program} doctor -c {config.absolute()}"
        text = f"examined as {user.name}, and the agent runs as {user.agent_name}"
        return [warning(f"{text}: rights are judged for {user.name}", f"run `{command}`")]
    if user.uid == 0:
        text = "user root, to whom everything is allowed"
        return [warning(text, "run this as the user that the agent runs as, if that is another one")]
    return [ok(f"user {user.name}")]


def judge_config(file: Entry, holds_secrets: bool) -> list[Finding]:
    """One of the config's files. holds_secrets: a secret stands in it as it is."""
    found: list[Finding] = []
    if file.mode & stat.S_IWOTH:
        found.append(
            failed(
                f"everybody may change {file.path}", f"`chmod o-w {file.path}`: it says what the agent does"
            )
        )
    if holds_secrets and file.mode & stat.S_IROTH:
        found.append(
            failed(
                f"a secret stands in {file.path}, which everybody can read",
                f"`chmod o-r {file.path}`, or put the secret into a file of its own (`!secret NAME`)",
            )
        )
    return found


def judge_key(file: Entry) -> list[Finding]:
    if file.mode & stat.S_IROTH:
        return [failed(f"everybody can read the key {file.path}", f"`chmod 600 {file.path}`")]
    return []


def judge_database(entry: Entry, user: User) -> list[Finding]:
    """The buffer's file or its directory."""
    if not entry.usable and user.uid == 0:
        return [failed(f"not even root may write {entry.path}", "see the check `disk`: it is read-only")]
    if not entry.usable:
        owner = user.agent_name or user.name
        return [failed(f"user {user.name} may not write {entry.path}", f"`chown {owner} {entry.path}`")]
    wanted = user.uid if user.agent_uid is None else user.agent_uid
    if wanted not in (0, entry.uid):
        owner = user.agent_name or user.name
        text = f"{entry.path} belongs to user {entry.uid}, not to {owner}"
        return [warning(text, f"`chown {owner} {entry.path}`")]
    return []


def judge_runtime(path: Path, entry: Entry | None, mount: Mount | None, user: User) -> list[Finding]:
    """The directory of the frame ring. entry: None where the agent is still to make it."""
    found: list[Finding] = []
    if mount is not None and mount.type not in MEMORY_TYPES:
        found.append(
            warning(
                f"{path} is on {mount.type}: every frame is written to the disk",
                "leave out agent.runtime_dir, or name a directory in memory, such as /run/holdfast",
            )
        )
    if entry is not None and entry.mode & 0o022:
        found.append(failed(f"others may write in {path}", f"`chmod 700 {path}`"))
    wanted = user.uid if user.agent_uid is None else user.agent_uid
    if entry is not None and entry.uid != wanted:
        found.append(
            failed(
                f"{path} belongs to user {entry.uid}",
                "remove it, or set agent.runtime_dir",
            )
        )
    return found or [ok(f"frames in memory at {path}")]


def judge_port(path: str, entry: Entry | None, user: User) -> list[Finding]:
    """A serial port."""
    if entry is None:
        return [
            failed(
                f"there is no serial port {path}",
                "plug the adapter in; `ls /dev/serial/by-id` lists names that stay the same",
            )
        ]
    if entry.usable:
        # What root may says nothing of the agent's user.
        return [ok(f"{path} is there" if user.is_for_agent else f"{path} can be opened")]
    who = user.agent_name or user.name
    if stat.S_IMODE(entry.mode) & 0o060 == 0o060 and entry.group != "root":
        return [
            failed(
                f"user {user.name} may not open {path}: it is for the group {entry.group}",
                f"`usermod -aG {entry.group} {who}`, then log in again or restart the service",
            )
        ]
    text = f"user {user.name} may not open {path} (mode {stat.S_IMODE(entry.mode):04o})"
    return [
        failed(text, f"let a udev rule give {path} to the group dialout, and `usermod -aG dialout {who}`")
    ]


class Rights:
    name = NAME
    needs = ("config",)
    seconds = 10.0

    async def run(self, site: Site, tell: Tell) -> None:
        tell(Outcome(NAME, tuple(await in_thread(lambda: _look(site), self.seconds - 1))))


def _look(site: Site) -> list[Finding]:
    user = _user(site)
    found = judge_user(user, site.config)
    for path in site.files:
        entry = _entry(path, os.R_OK)
        if entry is not None:
            found += judge_config(entry, _holds(path, site.secrets))
    found += [failed(text, "only the agent's user has to read it") for text in site.exposed]
    remedy = "put the file there, let the agent's user read it, or correct its name"
    if user.uid not in (0, user.agent_uid):
        remedy = f"{remedy}; what systemd hands to the agent root alone can see: run this as root"
    found += [failed(text, remedy) for text in site.unusable]
    for key in _keys(site):
        entry = _entry(key, os.R_OK)
        found += judge_key(entry) if entry is not None else []
    for path in (site.database.parent, site.database):
        entry = _entry(path, os.W_OK)
        found += judge_database(entry, user) if entry is not None else []
    agent = site.valid.agent
    if user.is_for_agent and not agent.runtime_dir and site.running is None:
        runtime = SYSTEMD_DIRECTORY
    else:
        runtime = find_socket(agent.runtime_dir, agent.id, environ=site.environ).parent
    existing = next(each for each in (runtime, *runtime.parents) if each.exists())
    found += judge_runtime(runtime, _entry(runtime, os.W_OK), find_mount(existing), user)
    ports = dict.fromkeys(port for each in site.connections if (port := serial_port_of(each)))
    for port in ports:
        found += judge_port(port, _entry(Path(port), os.R_OK | os.W_OK), user)
    return found


def _user(site: Site) -> User:
    uid = os.geteuid()
    agent = _agent_uid(site)
    program = str(Path(sys.executable).with_name("edge-agent"))
    return User(uid, _name(uid), agent, "" if agent is None else _name(agent), program)


def _agent_uid(site: Site) -> int | None:
    try:
        if site.running is not None:
            return Path(f"/proc/{site.running.pid}").stat().st_uid
        return pwd.getpwnam(UNIT_USER).pw_uid if UNIT.exists() else None
    except (OSError, KeyError):
        return None


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _entry(path: Path, access: int) -> Entry | None:
    try:
        found = path.stat()
    except OSError:
        return None
    try:
        group = grp.getgrgid(found.st_gid).gr_name
    except KeyError:
        group = str(found.st_gid)
    return Entry(path, found.st_uid, group, found.st_mode, os.access(path, access))


def _holds(path: Path, secrets: frozenset[str]) -> bool:
    """Whether one of the secrets stands in the file as it is."""
    try:
        text = path.read_bytes()
    except OSError:
        return False
    return any(secret.encode() in text for secret in secrets if len(secret) >= _SHORTEST)


# Shorter ones are found in any text.
_SHORTEST: Final = 6


def _keys(site: Site) -> list[Path]:
    """The private keys that the connections' transports name."""
    transports = [getattr(each, "transport", None) for each in site.connections]
    names = [getattr(transport, "key_file", None) for transport in transports]
    return [site.directory / name for name in dict.fromkeys(names) if name]
