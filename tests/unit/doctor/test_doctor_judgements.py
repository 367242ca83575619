"""What each check makes of what was measured: values in, findings out."""

import asyncio
from pathlib import Path, PurePath

import pytest

from edge_agent.config.models import (
    AgentSettings,
    BufferSettings,
    CentralSettings,
    ConnectionSettings,
    Document,
)
from edge_agent.config.units import Bytes, Seconds
from edge_agent.contracts.check_names import CHECKS
from edge_agent.contracts.diagnosis import Finding, Outcome, Verdict, failed, ok, worst
from edge_agent.contracts.status import AgentStatus
from edge_agent.doctor import centre, clock, disk, mounts, names, rights, tls
from edge_agent.doctor.certificate import parse
from edge_agent.doctor.checks import checks
from edge_agent.doctor.connections import AT_ONCE, Asked, Connections, UnitAnswer, judge_asked, judge_status
from edge_agent.doctor.examination import blocker
from edge_agent.doctor.exchange import Answer, Shake
from edge_agent.doctor.hooks import Tried
from edge_agent.doctor.resolving import Lookup, is_address
from edge_agent.doctor.site import Site
from edge_agent.wire.messages import ConnectionReport, UnitReport

NOW = 1_795_248_000.0  # 2026-11-21
MIB = 1 << 20
CERTIFICATES = Path(__file__).parents[2] / "golden" / "tls"


def verdict(findings: list[Finding]) -> Verdict:
    return worst(finding.verdict for finding in findings)


def text(findings: list[Finding]) -> str:
    return Outcome("x", tuple(findings)).text


def test_the_checks_are_those_that_only_can_name_in_that_order() -> None:
    class Nobody:
        def line(self, connection: object) -> str:
            raise AssertionError

        async def ask(self, connection: object) -> Asked:
            raise AssertionError

        async def try_scripts(self, site: object) -> Tried:
            raise AssertionError

    assert tuple(check.name for check in checks(Nobody(), Nobody(), direct=False)) == CHECKS


# --- clock ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wall", "synchronised", "ahead", "expected"),
    [
        (NOW, True, 0.4, Verdict.OK),
        (NOW, True, None, Verdict.OK),
        (NOW, None, None, Verdict.OK),
        (NOW, False, None, Verdict.WARNING),
        (NOW, True, 10.0, Verdict.WARNING),
        (NOW, False, -86_400.0, Verdict.FAILED),
        (NOW, True, 7_200.0, Verdict.WARNING),  # then it is the centre's clock that is wrong
        (12.0, False, None, Verdict.FAILED),
        (9e9, True, None, Verdict.FAILED),
        (1e18, True, None, Verdict.FAILED),
    ],
)
def test_the_clock_is_judged_by_year_synchronisation_and_offset(
    wall: float, synchronised: bool | None, ahead: float | None, expected: Verdict
) -> None:
    found = clock.judge(wall, synchronised, ahead)
    assert verdict(found) is expected
    assert all(finding.remedy for finding in found if finding.verdict is not Verdict.OK)


def test_an_offset_says_its_side_and_size() -> None:
    assert "1h behind the centre's" in text(clock.judge(NOW, True, -3_600.0))
    assert "2d ahead of the centre's" in text(clock.judge(NOW, True, 172_800.0))


def test_a_date_header_gives_the_offset_and_nonsense_none() -> None:
    assert clock.offset_of("Sat, 21 Nov 2026 08:00:00 GMT", NOW + 10) == pytest.approx(9.5)
    assert clock.offset_of("yesterday", NOW) is None
    assert clock.offset_of("", NOW) is None


# --- disk ----------------------------------------------------------------------------------------------

MOUNTINFO = """\
21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro
22 21 0:20 / /var/lib rw,nosuid - nfs4 server:/export rw,vers=4.2
23 21 0:21 / /mnt/with\\040space rw shared:2 - tmpfs tmpfs rw,size=4096k
24 21 8:2 / /data ro,relatime - ext4 /dev/sda2 rw
25 21 0:44 / /layered rw - overlay overlay rw,lowerdir=/a
this line is no mount
"""


@pytest.mark.parametrize(
    ("path", "kind", "expected"),
    [
        ("/home/x", "ext4", Verdict.OK),
        ("/var/lib/holdfast", "nfs4", Verdict.WARNING),
        ("/var/library", "ext4", Verdict.OK),
        ("/mnt/with space/x", "tmpfs", Verdict.WARNING),
        ("/data", "ext4", Verdict.FAILED),
        ("/layered/y", "overlay", Verdict.WARNING),
    ],
)
def test_the_file_system_of_a_directory_is_found_and_judged(path: str, kind: str, expected: Verdict) -> None:
    mount = mounts.mount_of(PurePath(path), mounts.parse_mounts(MOUNTINFO))
    assert mount is not None
    assert mount.type == kind
    assert verdict(disk.judge_mount(Path(path), mount)) is expected


@pytest.mark.parametrize(
    ("free", "used", "inodes", "expected"),
    [
        (3000, 0, None, Verdict.OK),
        (1200, 0, 5, Verdict.FAILED),
        (1200, 0, 50_000, Verdict.WARNING),
        (1200, 300, 50_000, Verdict.OK),  # what the buffer has already counts as room for it
        (100, 0, None, Verdict.FAILED),
    ],
)
def test_free_space_is_judged_by_floor_quota_and_inodes(
    free: int, used: int, inodes: int | None, expected: Verdict
) -> None:
    settings = BufferSettings(max_bytes=Bytes(1100 * MIB), min_free_bytes=Bytes(256 * MIB))
    space = disk.Space(free * MIB, inodes, used * MIB, 8000 * MIB)
    assert verdict(disk.judge_space(space, settings)) is expected


@pytest.mark.parametrize(("free", "expected"), [(120, Verdict.WARNING), (60, Verdict.FAILED)])
def test_the_floor_of_a_small_disk_is_the_agents(free: int, expected: Verdict) -> None:
    """An eighth of 512 MiB: with 120 MiB free the agent stores, whatever the setting says."""
    settings = BufferSettings(max_bytes=Bytes(1100 * MIB), min_free_bytes=Bytes(256 * MIB))
    assert verdict(disk.judge_space(disk.Space(free * MIB, None, 0, 512 * MIB), settings)) is expected


def test_what_root_may_not_write_is_read_only_and_needs_no_other_owner() -> None:
    (found,) = rights.judge_database(entry(0o040700, usable=False), rights.User(0, "root"))
    assert (found.verdict, "chown" in found.remedy, "`disk`" in found.remedy) == (Verdict.FAILED, False, True)


@pytest.mark.parametrize(
    ("seconds", "interval", "expected"),
    [
        ([0.002] * 8, 1.0, Verdict.OK),
        ([0.1] * 8, 1.0, Verdict.WARNING),
        ([0.1] * 8, 10.0, Verdict.OK),
        ([0.002] * 7 + [1.5], 1.0, Verdict.WARNING),
        ([], 1.0, Verdict.WARNING),
    ],
)
def test_durable_writes_are_judged_by_the_flush_interval(
    seconds: list[float], interval: float, expected: Verdict
) -> None:
    assert verdict(disk.judge_flushes(seconds, Seconds(interval))) is expected


def test_a_slow_disk_is_told_with_the_interval_that_suits_it() -> None:
    assert "buffer.flush_interval to 2.0s" in disk.judge_flushes([0.1] * 8, 1.0)[0].remedy


def test_a_locked_database_is_fine_where_the_agent_has_it_and_noted_where_somebody_else_has() -> None:
    assert verdict(disk.judge_holder(disk.Holder(7, is_agent=True))) is Verdict.OK
    assert verdict(disk.judge_holder(disk.Holder(7, is_agent=False))) is Verdict.WARNING
    locks = "1: POSIX  ADVISORY  WRITE 5 08:01:99 0 EOF\n2: FLOCK  ADVISORY  WRITE 4711 08:01:99 0 EOF\n"
    assert mounts.lock_holder(locks, 99) == 4711
    assert mounts.lock_holder(locks, 9) is None


# --- rights --------------------------------------------------------------------------------------------

PORT = "/dev/ttyUSB0"
ME = rights.User(1000, "operator")


def entry(mode: int, *, usable: bool, group: str = "dialout", uid: int = 0) -> rights.Entry:
    return rights.Entry(Path(PORT), uid, group, mode, usable)


def test_a_serial_port_of_another_group_is_told_with_the_command() -> None:
    (found,) = rights.judge_port(PORT, entry(0o020660, usable=False), ME)
    assert found.verdict is Verdict.FAILED
    assert "`usermod -aG dialout operator`" in found.remedy
    assert verdict(rights.judge_port(PORT, entry(0o020660, usable=True), ME)) is Verdict.OK
    assert "udev" in rights.judge_port(PORT, entry(0o020600, usable=False, group="root"), ME)[0].remedy
    assert "/dev/serial/by-id" in rights.judge_port(PORT, None, ME)[0].remedy


def test_who_examines_is_compared_with_who_runs() -> None:
    assert verdict(rights.judge_user(ME, Path("a"))) is Verdict.OK
    assert verdict(rights.judge_user(rights.User(0, "root"), Path("a"))) is Verdict.WARNING
    other = rights.User(1000, "operator", 998, "holdfast", "/opt/holdfast/bin/edge-agent")
    (found,) = rights.judge_user(other, Path("/etc/holdfast/a.yaml"))
    assert "`sudo /opt/holdfast/bin/edge-agent doctor -c /etc/holdfast/a.yaml`" in found.remedy


def test_root_examines_for_the_units_user_who_cannot_read_the_secrets() -> None:
    root = rights.User(0, "root", 998, "holdfast")
    assert verdict(rights.judge_user(root, Path("a"))) is Verdict.OK
    (port,) = rights.judge_port(PORT, entry(0o020600, usable=True), root)
    assert "can be opened" not in port.text, "what root may open says nothing of the agent"
    assert "chown holdfast" in rights.judge_database(entry(0o100600, usable=True), root)[0].remedy


def test_secrets_that_others_can_read_and_configs_that_they_can_write_fail() -> None:
    assert rights.judge_config(entry(0o100644, usable=True), holds_secrets=False) == []
    assert rights.judge_config(entry(0o100640, usable=True), holds_secrets=True) == []
    assert verdict(rights.judge_config(entry(0o100644, usable=True), holds_secrets=True)) is Verdict.FAILED
    assert verdict(rights.judge_config(entry(0o100646, usable=True), holds_secrets=False)) is Verdict.FAILED
    assert verdict(rights.judge_key(entry(0o100644, usable=True))) is Verdict.FAILED


def test_a_database_of_another_user_is_told_with_its_owner_to_be() -> None:
    assert "chown operator" in rights.judge_database(entry(0o100600, usable=False), ME)[0].remedy
    assert verdict(rights.judge_database(entry(0o100600, usable=True, uid=5), ME)) is Verdict.WARNING
    assert rights.judge_database(entry(0o100600, usable=True, uid=1000), ME) == []


def test_the_ring_belongs_in_memory_and_to_its_user() -> None:
    memory = mounts.Mount("/run", "tmpfs", "tmpfs", ("rw",))
    flash = mounts.Mount("/", "ext4", "/dev/mmcblk0", ("rw",))
    own = entry(0o040700, usable=True, uid=1000)
    assert verdict(rights.judge_runtime(Path("/run/x"), own, memory, ME)) is Verdict.OK
    assert verdict(rights.judge_runtime(Path("/x"), own, flash, ME)) is Verdict.WARNING
    assert (
        verdict(rights.judge_runtime(Path("/run/x"), entry(0o040770, usable=True), memory, ME))
        is Verdict.FAILED
    )


# --- dns -----------------------------------------------------------------------------------------------


def test_names_that_lead_nowhere_are_told_apart_from_servers_that_are_silent() -> None:
    servers = ("192.0.2.53",)
    unknown = names.judge("plc", Lookup((), "there is no such name"), servers)
    silent = names.judge("plc", Lookup((), "the name servers do not answer"), servers)
    assert "/etc/hosts" in unknown.remedy
    assert "192.0.2.53" in silent.remedy
    assert unknown.elsewhere
    assert silent.elsewhere
    assert "names no server" in names.judge("plc", Lookup((), "no name server answered"), ()).remedy
    assert names.judge("plc", Lookup(("192.0.2.1",), "", 2.0), servers).verdict is Verdict.WARNING
    assert names.judge("plc", Lookup(("192.0.2.1",), "", 0.1), servers).verdict is Verdict.OK


def test_addresses_are_not_looked_up() -> None:
    assert [is_address(host) for host in ("192.0.2.1", "fe80::1%eth0", "plc", "1.2.3")] == [
        True, True, False, False
    ]  # fmt: skip
    assert names.name_servers("# x\nnameserver 192.0.2.53\nsearch a\nnameserver ::1\n") == (
        "192.0.2.53",
        "::1",
    )


# --- tls -----------------------------------------------------------------------------------------------


def central(url: str = "https://central.plant.example", **more: str) -> CentralSettings:
    return CentralSettings.model_validate({"url": url, "token": "t-123", **more})


def certificate(name: str) -> bytes:
    import ssl

    return ssl.PEM_cert_to_DER_cert((CERTIFICATES / f"{name}.cert.pem").read_text())


def test_dates_and_names_are_read_from_certificates_that_nobody_trusts() -> None:
    found = parse(certificate("expired"))
    assert (found.begins.year, found.ends.year, found.issuer) == (2020, 2021, "localhost")
    assert parse(certificate("not-yet")).begins.year == 2120
    assert parse(certificate("other-name")).subject == "central.plant.example"
    for broken in (b"", b"\x30", b"\x30\x82\xff\xff", certificate("issued")[:200], b"<html>"):
        with pytest.raises(ValueError, match="no certificate"):
            parse(broken)


def test_a_certificate_that_ends_soon_is_a_warning_in_days() -> None:
    def shake(ends: str) -> list[Finding]:
        return tls.judge_trusted(Shake("TLSv1.3", {"notAfter": ends}, 0.02), NOW)

    assert verdict(shake("Dec 31 00:00:00 2027 GMT")) is Verdict.OK
    assert verdict(shake("Dec  1 12:00:00 2026 GMT")) is Verdict.WARNING
    assert "10 more days" in text(shake("Dec  1 12:00:00 2026 GMT"))


@pytest.mark.parametrize(
    ("code", "says", "remedy"),
    [
        (10, "has expired on 2021-01-01", "clock is right (2026-11-21"),
        (9, "not valid yet", "clock says 2026-11-21"),
        (62, "another name", "central.url"),
        (18, "self-signed", "central.ca_file"),
        (20, "authority, localhost,", "central.ca_file"),
        (999, "something else", "OpenSSL"),
    ],
)
def test_each_refusal_of_a_certificate_has_its_own_remedy(code: int, says: str, remedy: str) -> None:
    found = tls.judge_refused(code, "something else", parse(certificate("expired")), central(), NOW)
    assert found.verdict is Verdict.FAILED
    assert says in found.text
    assert remedy in found.remedy


def test_a_plain_address_is_unwise_unless_it_is_this_machine() -> None:
    assert tls.judge_plain(central("http://127.0.0.1:8460")).verdict is Verdict.OK
    assert tls.judge_plain(central("http://192.0.2.7")).verdict is Verdict.WARNING
    proxied = central("http://192.0.2.7", proxy="http://127.0.0.1:3128")
    assert tls.judge_plain(proxied).verdict is Verdict.WARNING


# --- centre --------------------------------------------------------------------------------------------


def answer(status: int, body: bytes = b"", **headers: str) -> Answer:
    return Answer(status, headers, body, 0.01, NOW)


@pytest.mark.parametrize(
    ("given", "expected", "says"),
    [
        (answer(200, b'{"status":"ok"}'), Verdict.OK, "works"),
        (answer(503, b'{"status":"failing"}'), Verdict.FAILED, "cannot store"),
        (answer(200, b"<!doctype html><title>Login"), Verdict.FAILED, "web page"),
        (answer(302, b"", location="http://portal.example/login"), Verdict.FAILED, "portal.example"),
        (answer(407), Verdict.FAILED, "proxy wants a login"),
        (answer(502, b"<html>"), Verdict.FAILED, "no centre behind"),
        (answer(200, b'{"status":"up"}'), Verdict.FAILED, "not the centre"),
        (answer(200, b"[1]"), Verdict.FAILED, "not the centre"),
    ],
)
def test_only_the_centre_is_taken_for_the_centre(given: Answer, expected: Verdict, says: str) -> None:
    found = centre.judge_health(given)
    assert found.verdict is expected
    assert says in found.text
    assert found.remedy or expected is Verdict.OK


@pytest.mark.parametrize(
    ("status", "body", "expected", "remedy"),
    [
        (200, b"{}", Verdict.OK, ""),
        (404, b'{"title":"no config"}', Verdict.OK, ""),
        (404, b"<h1>Not found", Verdict.FAILED, "proxy"),
        (401, b'{"detail":"bad token"}', Verdict.FAILED, "token create --device press-1"),
        (403, b'{"detail":"other device"}', Verdict.FAILED, "agent.id is press-1"),
        (429, b"{}", Verdict.WARNING, "minute"),
    ],
)
def test_what_the_centre_says_of_the_token_tells_what_to_do_with_it(
    status: int, body: bytes, expected: Verdict, remedy: str
) -> None:
    found = centre.judge_token(answer(status, body), "press-1")
    assert found.verdict is expected
    assert remedy in found.remedy


# --- connections ---------------------------------------------------------------------------------------


def test_a_silent_unit_is_elsewhere_and_a_refused_tag_is_to_be_mended_here() -> None:
    silent = judge_asked("192.0.2.1:502", Asked(0.01, units=(UnitAnswer(3, "a", "no answer", silent=True),)))
    refused = judge_asked("192.0.2.1:502", Asked(0.01, units=(UnitAnswer(3, "a", "illegal data address"),)))
    good = judge_asked("192.0.2.1:502", Asked(0.01, units=(UnitAnswer(3, "a", seconds=0.02),)))
    nobody = judge_asked("192.0.2.1:502", Asked(fault="refused"))
    assert [verdict(found) for found in (silent, refused, good, nobody)] == [
        Verdict.FAILED, Verdict.FAILED, Verdict.OK, Verdict.FAILED
    ]  # fmt: skip
    assert [finding.elsewhere for found in (silent, refused, nobody) for finding in found][-1]
    assert silent[-1].elsewhere
    assert not refused[-1].elsewhere


def test_the_running_agents_view_is_judged_by_its_words() -> None:
    def report(state: str, *units: UnitReport) -> list[Finding]:
        return judge_status(ConnectionReport(name="p", driver="modbus", state=state, units=list(units)))

    assert verdict(report("connected", UnitReport(unit_id=1, state="answering"))) is Verdict.OK
    assert verdict(report("connecting")) is Verdict.WARNING
    assert verdict(report("down")) is Verdict.FAILED
    assert report("connected", UnitReport(unit_id=1, state="silent"))[-1].elsewhere
    assert not report("connected", UnitReport(unit_id=1, state="refusing"))[-1].elsewhere


async def test_beside_a_running_agent_no_plc_is_asked(tmp_path: Path) -> None:
    """Many PLCs take a single client: a link of the doctor's would throw the agent's out."""
    golden = Path(__file__).parents[2] / "golden" / "agent-status-well.json"
    status = AgentStatus.model_validate_json(golden.read_text(encoding="utf-8"))
    known = status.connections[0].name
    settings = [
        ConnectionSettings(name=known, driver="modbus"),
        ConnectionSettings(name="new", driver="modbus"),
    ]
    document = Document(agent=AgentSettings(id="press-shop-01"), connections=settings)
    asked: list[str] = []

    class Noting:
        def line(self, connection: ConnectionSettings) -> str:
            return connection.name

        async def ask(self, connection: ConnectionSettings) -> Asked:
            asked.append(connection.name)
            return Asked()

    site = Site(tmp_path / "edge-agent.yaml", {}, document, running=status)
    told: list[Outcome] = []
    await Connections(Noting()).run(site, told.append)
    assert asked == []
    assert [outcome.subject for outcome in told] == [f"connection {known}", "connection new"]
    assert "edge-agent reload" in told[1].remedies[0]
    hidden = Site(tmp_path / "edge-agent.yaml", {}, document, running_fault="belongs to another user")
    await Connections(Noting()).run(hidden, told.append)
    assert asked == []
    assert "belongs to another user" in told[-1].text
    await Connections(Noting(), direct=True).run(site, told.append)
    assert asked == [known, "new"]


async def test_at_most_16_lines_are_asked_at_once_and_one_line_in_turn(tmp_path: Path) -> None:
    names_ = [f"c{number}" for number in range(40)]
    settings = [ConnectionSettings(name=name, driver="modbus") for name in names_]
    document = Document(agent=AgentSettings(id="press-shop-01"), connections=settings)
    at_once: list[set[str]] = []
    now: set[str] = set()

    class Slow:
        def line(self, connection: ConnectionSettings) -> str:
            return str(int(connection.name[1:]) // 2)

        async def ask(self, connection: ConnectionSettings) -> Asked:
            now.add(connection.name)
            at_once.append(set(now))
            await asyncio.sleep(0)
            now.discard(connection.name)
            return Asked()

    told: list[Outcome] = []
    await Connections(Slow()).run(Site(tmp_path / "a.yaml", {}, document), told.append)
    assert len(told) == 40
    assert max(map(len, at_once)) == AT_ONCE
    lines = [sorted(int(name[1:]) // 2 for name in names) for names in at_once]
    assert all(len(set(each)) == len(each) for each in lines)


# --- order ---------------------------------------------------------------------------------------------


def test_a_check_is_blocked_by_what_it_needs_alone() -> None:
    bad = failed("x", "y")
    outcomes = [
        Outcome("config", (ok(""),)),
        Outcome("dns", (bad,), "connection press1"),
        Outcome("disk", (bad,)),
    ]
    assert blocker(("config", "dns centre"), outcomes) is None
    assert blocker(("config", "dns centre"), [*outcomes, Outcome("dns", (bad,), "centre")]) == "dns centre"
    assert blocker(("disk",), outcomes) == "disk"
