"""The installed units under a real systemd: start, reload, watchdog, kill, stop, and what they may touch."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.hooks.layers import LAYERS, ON
from tests.system.freeze import frozen
from tests.system.holdfast_machine import (
    AGENT,
    AGENT_USER,
    CENTRE,
    CENTRE_USER,
    CONFIG,
    DEVICE,
    INSTALL,
    WATCHDOG_SECONDS,
    Holdfast,
    document,
)
from tests.system.nspawn import PREFIX, Machine, debian, until, wheelhouse

# The first may have to make a Debian; the others wait for watchdogs on a machine that does other things, too.
pytestmark = [pytest.mark.timeout(600)]

TLS = Path(__file__).parents[1] / "golden" / "tls"
UNITS = (AGENT, CENTRE)
LAYERS_OF_A_WORKER = """
import asyncio, json
from edge_agent.hooks.process import WorkerProcess

async def main():
    worker = await WorkerProcess.start()
    print(json.dumps(worker.layers))
    await worker.close()

asyncio.run(main())
"""
START_SECONDS = 30.0
# SIGABRT comes after the watchdog's time, SIGKILL 3 s later, the start another second later.
WATCHDOG_TAKES = WATCHDOG_SECONDS + 3 + 1 + START_SECONDS
STOP_SECONDS = 15.0
# Where the units may write, and where systemd and the journal do.
WRITABLE = ("/var/lib/holdfast/", "/var/lib/holdfast-centre/", "/run/holdfast/")
SYSTEMDS = (
    "/run/systemd/", "/run/log/journal/", "/run/credentials/", "/run/udev/", "/run/mount/",
    "/var/log/journal/", "/var/lib/systemd/", "/tmp/systemd-private-", "/var/tmp/systemd-private-",
)  # fmt: skip


@pytest.fixture(scope="module")
def holdfast(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Holdfast]:
    with Machine(debian(), wheelhouse(tmp_path_factory.mktemp("wheels"))) as machine:
        holdfast = Holdfast(machine)
        holdfast.install()
        holdfast.start()
        yield holdfast


@pytest.fixture
def running(holdfast: Holdfast) -> Holdfast:
    """With data that flows, whatever the test before left behind."""
    until(holdfast.runs, START_SECONDS, "data flows")
    return holdfast


def restarted(holdfast: Holdfast, unit: str, restarts: int) -> bool:
    return holdfast.machine.restarts(unit) > restarts and holdfast.machine.is_active(unit)


def test_both_start_say_ready_and_data_arrives(running: Holdfast) -> None:
    machine = running.machine
    for unit in UNITS:
        assert machine.show(unit, "Type") == "notify"
        assert machine.is_active(unit)
        assert machine.show(unit, "UnitFileState") == "enabled"
    assert "2 connections" in machine.show(AGENT, "StatusText")
    judgement = running.nothing_is_lost([running.promise()])
    assert judgement.bad_frames == 0, judgement.summary()


@pytest.mark.parametrize(("unit", "user"), [(AGENT, AGENT_USER), (CENTRE, CENTRE_USER)])
def test_neither_is_root_or_can_become_it(running: Holdfast, unit: str, user: str) -> None:
    status = running.machine.path(f"/proc/{running.machine.pid(unit)}/status").read_text()
    fields = dict(line.split(":\t", 1) for line in status.splitlines())
    assert set(fields["Uid"].split()) == {running.machine.do("id", "-u", user).strip()}
    assert int(fields["CapBnd"], 16) == int(fields["CapEff"], 16) == 0
    assert (fields["NoNewPrivs"], fields["Seccomp"]) == ("1", "2")


def test_the_token_is_roots_file_and_the_agents_credential(running: Holdfast) -> None:
    machine = running.machine
    secret = "/etc/holdfast/secrets/central-token"
    as_agent = ("setpriv", f"--reuid={AGENT_USER}", f"--regid={AGENT_USER}", "--clear-groups")
    assert machine.do(*as_agent, "cat", secret, check=False) == ""
    assert machine.do(*as_agent, "cat", CONFIG) != ""
    assert machine.do("cat", secret).strip() not in machine.do("cat", CONFIG)
    assert running.status()["sinks"][0]["state"] == "ok"


def test_the_sandbox_lets_the_agent_see_its_host(running: Holdfast) -> None:
    status = running.status()
    host = status["host"]
    assert host["memory_total_bytes"] > 0
    assert host["load_1m"] is not None
    assert status["clock"]["sync"] is not None


def test_logs_are_found_by_their_fields(running: Holdfast) -> None:
    (started, *_) = running.machine.journal(f"DEVICE={DEVICE}", "EVENT=started")
    assert started["PRIORITY"] == "6"
    assert started["SYSLOG_IDENTIFIER"] == AGENT
    assert started["_SYSTEMD_UNIT"] == f"{AGENT}.service"
    assert started["CONNECTIONS"] == "2"


def test_hooks_have_every_layer_of_their_sandbox_within_that_of_the_unit(running: Holdfast) -> None:
    """`privileges` among them: there are none to be dropped, and capset(2) is not needed for that."""
    hooked = document()
    script = "OUTPUTS = {'n': 'uint32'}\ndef on_schedule(tick):\n    tick['n'] = 1\n"
    each = {"name": "yearly", "point": "on_schedule", "schedule": "0 0 1 1 *", "source": script}
    hooked["hooks"] = {"require": ["rlimits", "no_new_privs", "landlock", "seccomp"], "scripts": [each]}
    running.configure(hooked)
    running.machine.do("systemctl", "reload", AGENT)
    assert running.status()["hooks"]["layers"] == dict.fromkeys(LAYERS, ON)
    running.configure(document())
    running.machine.do("systemctl", "reload", AGENT)


def test_scripts_that_are_tried_at_the_centre_are_confined_as_at_the_edge(running: Holdfast) -> None:
    unit = (Path(__file__).parents[2] / "systemd" / f"{CENTRE}.service").read_text()
    hardening = unit.partition("# --- hardening")[2].partition("[Install]")[0]
    settings = [line for line in hardening.splitlines()[1:] if line and not line.startswith("#")]
    answer = running.machine.do(
        "systemd-run", "--wait", "--pipe", "--collect", "--quiet", f"--uid={CENTRE_USER}",
        *(f"--property={setting}" for setting in settings), f"{PREFIX}/bin/python", "-c", LAYERS_OF_A_WORKER,
    )  # fmt: skip
    assert json.loads(answer) == dict.fromkeys(LAYERS, ON)


def test_a_reload_is_taken_over_by_the_same_process(running: Holdfast) -> None:
    machine = running.machine
    pid = machine.pid(AGENT)
    changed = document("250ms")
    changed["connections"].pop()
    running.configure(changed)
    machine.do("systemctl", "reload", AGENT)
    assert {each["name"] for each in running.status()["connections"]} == {"plc0"}
    running.configure(document())
    machine.do("systemctl", "reload", AGENT)
    assert {each["name"] for each in running.status()["connections"]} == {"plc0", "plc1"}
    assert machine.pid(AGENT) == pid


def test_a_reload_with_an_invalid_config_fails_and_changes_nothing(running: Holdfast) -> None:
    machine = running.machine
    pid = machine.pid(AGENT)
    running.configure(document("nonsense"))
    with pytest.raises(AssertionError, match=r"Job for edge-agent\.service failed"):
        machine.do("systemctl", "reload", AGENT)
    assert machine.is_active(AGENT)
    assert machine.pid(AGENT) == pid
    running.configure(document())
    machine.do("systemctl", "reload", AGENT)


def test_a_frozen_agent_is_killed_by_the_watchdog_and_back_with_nothing_lost(running: Holdfast) -> None:
    machine = running.machine
    restarts, pid = machine.restarts(AGENT), machine.pid(AGENT)
    promise = running.promise()
    machine.do("kill", "-STOP", pid)
    until(lambda: restarted(running, AGENT, restarts), WATCHDOG_TAKES, "the agent is back")
    assert machine.pid(AGENT) != pid
    until(running.runs, START_SECONDS, "data flows")
    running.nothing_is_lost([promise, running.promise()])
    assert any(
        "Watchdog timeout" in str(entry["MESSAGE"]) for entry in machine.journal(f"UNIT={AGENT}.service")
    )


@pytest.mark.parametrize("unit", UNITS)
def test_a_frozen_event_loop_is_noticed_and_the_journal_says_where_it_hangs(
    running: Holdfast, unit: str
) -> None:
    machine = running.machine
    restarts, pid = machine.restarts(unit), machine.pid(unit)
    promise = running.promise()
    with frozen(machine.host_pid(unit)) as thread:
        until(thread.is_gone, WATCHDOG_TAKES, "the watchdog ends it")
    until(lambda: restarted(running, unit, restarts), START_SECONDS, "it is back")
    running.nothing_is_lost([promise])
    lines = [str(entry["MESSAGE"]) for entry in machine.journal(f"_PID={pid}")]
    assert "Fatal Python error: Aborted" in lines
    assert any("run_forever" in line or "asyncio/runners.py" in line for line in lines), lines[-40:]


def test_a_killed_agent_is_back_with_the_frames_of_its_ring(running: Holdfast) -> None:
    machine = running.machine
    restarts = machine.restarts(AGENT)
    until(lambda: running.status()["buffer"]["uncommitted_frames"] > 0, 10, "frames wait for their commit")
    promise = running.promise()
    machine.do("systemctl", "kill", "--kill-whom=main", "--signal=KILL", AGENT)
    until(lambda: restarted(running, AGENT, restarts), START_SECONDS, "the agent is back")
    started = machine.journal("EVENT=started", f"_PID={machine.pid(AGENT)}")[-1]
    assert int(started["RECOVERED_FRAMES"]) > 0
    running.nothing_is_lost([promise])


def test_a_frozen_centre_is_killed_by_the_watchdog_and_back_with_nothing_lost(running: Holdfast) -> None:
    machine = running.machine
    restarts = machine.restarts(CENTRE)
    promise = running.promise()
    machine.do("kill", "-STOP", machine.pid(CENTRE))
    until(lambda: restarted(running, CENTRE, restarts), WATCHDOG_TAKES, "the centre is back")
    running.nothing_is_lost([promise, running.promise()])


def test_neither_is_killed_by_the_watchdog_while_it_works(running: Holdfast) -> None:
    machine = running.machine
    before = {unit: (machine.pid(unit), machine.restarts(unit)) for unit in UNITS}
    end = time.monotonic() + 2 * WATCHDOG_SECONDS
    until(lambda: time.monotonic() > end, 3 * WATCHDOG_SECONDS, "two times of the watchdog")
    assert {unit: (machine.pid(unit), machine.restarts(unit)) for unit in UNITS} == before


@pytest.mark.parametrize("unit", UNITS)
def test_a_stop_is_in_order_and_in_time(running: Holdfast, unit: str) -> None:
    machine = running.machine
    promise = running.promise()
    began = time.monotonic()
    machine.do("systemctl", "stop", unit)
    assert time.monotonic() - began < STOP_SECONDS
    assert machine.show(unit, "ActiveState") == "inactive"
    assert (machine.show(unit, "Result"), machine.show(unit, "ExecMainStatus")) == ("success", "0")
    machine.do("systemctl", "start", unit)
    until(running.runs, START_SECONDS, "data flows")
    running.nothing_is_lost([promise])


def test_a_start_with_an_invalid_config_fails_once_and_is_not_tried_again(running: Holdfast) -> None:
    machine = running.machine
    machine.do("systemctl", "stop", AGENT)
    running.configure(document("nonsense"))
    machine.do("systemctl", "start", AGENT, check=False)
    assert machine.show(AGENT, "ActiveState") == "failed"
    assert machine.show(AGENT, "SubState") == "failed"  # and not auto-restart
    assert (machine.show(AGENT, "ExecMainStatus"), machine.restarts(AGENT)) == ("2", 0)
    # The centre's settings are judged alike.
    machine.do("systemctl", "stop", CENTRE)
    text = machine.do("cat", "/etc/holdfast/central.yaml")
    machine.write("/etc/holdfast/central.yaml", "lisen: 127.0.0.1:8080\n")
    machine.do("systemctl", "start", CENTRE, check=False)
    assert (machine.show(CENTRE, "ActiveState"), machine.show(CENTRE, "ExecMainStatus")) == ("failed", "2")
    machine.write("/etc/holdfast/central.yaml", text)
    running.configure(document())
    machine.do("systemctl", "start", *UNITS)


def files(machine: Machine) -> dict[str, str]:
    """All that is on the machine, with inode, change of content and change of inode."""
    places = ("/", "/run", "/tmp", "/dev/shm", "/dev/mqueue")
    text = machine.do("find", *places, "-xdev", "-printf", r"%p\t%y %i %T@ %C@\n")
    return dict(line.split("\t", 1) for line in text.splitlines())


def test_nothing_is_written_outside_the_units_own_directories(running: Holdfast) -> None:
    machine = running.machine
    before = files(machine)
    machine.do("systemctl", "restart", *UNITS)
    until(running.runs, START_SECONDS, "data flows")
    machine.do("systemctl", "reload", AGENT)
    machine.do("systemctl", "restart", AGENT)
    until(running.runs, START_SECONDS, "data flows")
    after = files(machine)
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    assert any(path.startswith("/var/lib/holdfast/") for path in changed), "the comparison sees nothing"
    parents = {str(Path(place).parent) for place in (*WRITABLE, *SYSTEMDS)}
    own = {place.rstrip("/") for place in (*WRITABLE, *SYSTEMDS)}
    foreign = {
        path for path in changed if not path.startswith((*WRITABLE, *SYSTEMDS)) and path not in parents | own
    }
    assert foreign == set()


@pytest.mark.parametrize("unit", UNITS)
def test_the_unit_cannot_write_where_its_user_could(running: Holdfast, unit: str) -> None:
    machine = running.machine
    user = machine.show(unit, "User")
    as_user = ("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "sh", "-c")
    inside = ("nsenter", f"--target={machine.pid(unit)}", "--mount", *as_user)
    for place in ("/var/tmp", "/dev/shm", "/tmp"):
        machine.do(*as_user, f"test -w {place}")
    other = "/var/lib/holdfast" if unit == CENTRE else "/var/lib/holdfast-centre"
    for place in ("/etc/holdfast", "/opt/holdfast", "/var/lib", "/usr", "/home", "/dev/shm", other):
        assert machine.do(*inside, f"test -w {place} && echo yes", check=False) == "", place
    assert machine.do(*inside, f"test -w {machine.show(unit, 'WorkingDirectory')} && echo yes") == "yes\n"


def test_the_centre_serves_tls_on_a_low_port_with_a_key_that_root_alone_can_read(running: Holdfast) -> None:
    machine = running.machine
    settings = "/etc/holdfast/central.yaml"
    before = machine.do("cat", settings)
    for name, source in (("chain", "cert"), ("key", "key")):
        text = (TLS / f"localhost.{source}.pem").read_text()
        machine.write(f"/etc/holdfast/tls/{name}.pem", text, 0o600)
    machine.do(INSTALL, "--agent", "--centre", "--tls", "--low-ports")
    machine.write(settings, "listen: 127.0.0.1:443\n")
    machine.do("systemctl", "restart", CENTRE)
    assert "https://127.0.0.1:443" in "".join(str(e["MESSAGE"]) for e in machine.journal("-u", CENTRE))
    machine.write(settings, before)
    machine.do(INSTALL, "--agent", "--centre")
    machine.do("systemctl", "restart", CENTRE)


def test_the_installer_may_run_again_with_other_variants_and_leaves_data_behind(running: Holdfast) -> None:
    machine = running.machine
    machine.do(INSTALL, "--agent", "--centre", "--serial")
    assert machine.show(AGENT, "SupplementaryGroups") == "dialout"
    assert "char-ttyS rw" in machine.show(AGENT, "DeviceAllow")
    machine.do("systemctl", "restart", AGENT)
    until(running.runs, START_SECONDS, "data flows")
    status = machine.path(f"/proc/{machine.pid(AGENT)}/status").read_text()
    dialout = machine.do("getent", "group", "dialout").split(":")[2]
    assert dialout in next(line for line in status.splitlines() if line.startswith("Groups:")).split()
    machine.do(INSTALL, "--agent", "--centre")
    assert machine.show(AGENT, "SupplementaryGroups") == ""
    machine.do("systemctl", "stop", *UNITS)
    machine.do(INSTALL, "--uninstall")
    assert machine.show(AGENT, "LoadState") == machine.show(CENTRE, "LoadState") == "not-found"
    assert machine.path("/var/lib/holdfast/buffer.db").exists()
    assert machine.path(CONFIG).exists()
    assert not machine.path("/run/holdfast").exists()
    machine.do(INSTALL, "--agent", "--centre")
    machine.do("systemctl", "start", *UNITS)
    until(running.runs, START_SECONDS, "data flows")
    running.nothing_is_lost([running.promise()])
    assert machine.do(f"{PREFIX}/bin/edge-agent", "status", "--check", check=False)
