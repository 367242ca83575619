"""Which certificates of servers are taken, and why others are not."""

import ipaddress
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from edge_agent.drivers.opcua.security_settings import Flaw
from edge_agent.drivers.opcua.trust import Expected, Lists, Untrusted, describe, judge
from tests.unit.drivers.opcua.authority import NOW, URI, Issuer, authority, key, revocations, server

HOST = "press.plant.example"
# Today's libraries make none any more: `openssl req -x509 -newkey rsa:2048 -sha1 …`
SIGNED_WITH_SHA1 = b"""-----BEGIN CERTIFICATE-----
MIIDLjCCAhagAwIBAgIUJXHoE3ezoiQcrs6YXjoH5QFDaLEwDQYJKoZIhvcNAQEF
BQAwFDESMBAGA1UEAwwJb2xkIHByZXNzMCAXDTI2MTEyMTE1MDA1NloYDzIxMjYx
MDI4MTUwMDU2WjAUMRIwEAYDVQQDDAlvbGQgcHJlc3MwggEiMA0GCSqGSIb3DQEB
AQUAA4IBDwAwggEKAoIBAQDDNBa0kqatng4fgol1aUL51NwVVARwRiaL2f2wK/NN
kodFcDSE3+BgBwc1fQ1+rL/t5Rl1h2pToWE/ZIAGxcVP5ilE9HB+oZE42h9flS7C
Ujm68szGPUTAXjOD4mWBxYgIbI3ESknhDskFJbI+jrtqaU0OGyrBrYwLZEst8Iji
Sk/M+cp2YtwRV8h//jg3OtqYYQ5gwOiccrG96arP/mYYjk2RHX7rSo4sILU6EdCR
YbhdjvFmxb91ldTo2mGqPobC8aEIgaJK+ZxJ7goDYY1DPwmc27TrE9bFPqet37hp
azG94f42RvMoQ7vIfwajqsRsA/PYfO8JB+lcUZmO/OvdAgMBAAGjdjB0MB0GA1Ud
DgQWBBQxQBk/0Iqbx3nw/q+dTaZHWm6zXDAfBgNVHSMEGDAWgBQxQBk/0Iqbx3nw
/q+dTaZHWm6zXDAPBgNVHRMBAf8EBTADAQH/MCEGA1UdEQQaMBiGFnVybjpwbGFu
dDpwcmVzczpzZXJ2ZXIwDQYJKoZIhvcNAQEFBQADggEBAL+QS3rX4aOI9FOf7xbO
edAJ/3Rm6ZHjr5Qo26SbozwoFbhnUtGfxRtd18u1cfkpX8s3fmolBfd1FnOeRZX5
+80w44gffYGqUFOvr7XFZxW+ru5jfQbGqeYNvX3U+o6AyMCfbZbuat8lLViMhWa7
aebsrg3hMFotd+Bet5BtCYboWmiwocG4HbVTl3266KOg1L7dMLUewBeFciO4Il5G
0X+8fUp9KfisUaVIv126tyaMT8rxspynA5eWjNqepcntLt96kaqd4NMX5Vu1ac+u
GWLD6LR4nuVN/FbsEm/vxtT74GT+qwxmeFU4teC9lY68NLH4zL8iAb2FIk4KqTYk
57g=
-----END CERTIFICATE-----
"""


def verdict(
    certificate: x509.Certificate,
    lists: Lists,
    *sent: x509.Certificate,
    host: str = HOST,
    uri: str = URI,
    tolerate: frozenset[Flaw] = frozenset(),
) -> str:
    """Empty where it is taken."""
    try:
        judge(certificate, sent, Expected(host, uri, NOW, tolerate), lists)
    except Untrusted as error:
        return str(error)
    return ""


def pinned(certificate: x509.Certificate) -> Lists:
    return Lists(trusted=(certificate,))


def test_a_server_is_taken_by_its_own_certificate_alone() -> None:
    known, namesake = server(), server(number=1)
    assert known.subject == namesake.subject
    assert verdict(known, pinned(known)) == ""
    with pytest.raises(Untrusted, match="not trusted") as refused:
        judge(namesake, [], Expected(HOST, URI, NOW), pinned(known))
    assert refused.value.can_be_accepted
    assert "not trusted" in verdict(known, Lists())
    assert "not trusted" in verdict(known, Lists(), known), "what a server sends trusts nobody"


def test_a_new_certificate_for_the_same_key_is_another_one() -> None:
    assert "not trusted" in verdict(server(), pinned(server()))


@pytest.mark.parametrize(
    ("days", "word"), [(-1, "expired on"), (-200, "expired on"), (400, "valid only from")]
)
def test_the_time_of_a_trusted_certificate_counts(days: int, word: str) -> None:
    end = NOW + timedelta(days=days)
    certificate = server(begin=end - timedelta(days=300), end=end)
    assert word in verdict(certificate, pinned(certificate))
    assert verdict(certificate, pinned(certificate), tolerate=frozenset({Flaw.TIME})) == ""


def test_a_certificate_of_another_application_is_refused() -> None:
    certificate = server(uri="urn:plant:other")
    assert verdict(certificate, pinned(certificate)) == (
        "it belongs to the application urn:plant:other, and the server calls itself urn:plant:press:server; "
        "`tolerate: [application_uri]` takes it"
    )
    assert verdict(certificate, pinned(certificate), tolerate=frozenset({Flaw.APPLICATION_URI})) == ""
    nameless = server(uri=None, hosts=())
    assert "without a URI" in verdict(nameless, pinned(nameless))
    assert "without a URI" in verdict(nameless, pinned(nameless), uri=""), "no name is not the same name"


def test_an_authority_answers_for_those_whom_it_signed() -> None:
    root = authority()
    signed, forged = server(issuer=root), server(issuer=authority(number=11))
    lists = Lists(trusted=(root.certificate,))
    assert forged.issuer == signed.issuer
    assert verdict(signed, lists) == ""
    assert "not trusted" in verdict(forged, lists)


def test_issuers_complete_a_chain_and_trust_nobody() -> None:
    root = authority("root")
    middle = authority("middle", number=11, issuer=root)
    signed = server(issuer=middle)
    assert "not trusted" in verdict(signed, Lists(trusted=(root.certificate,)))
    assert verdict(signed, Lists((root.certificate,), (middle.certificate,))) == ""
    assert verdict(signed, Lists((root.certificate,)), middle.certificate) == "", "the server sent it"
    assert "not trusted" in verdict(signed, Lists(issuers=(root.certificate, middle.certificate)))
    assert verdict(signed, Lists((middle.certificate,))) == "", "the anchor need not be a root"


def test_who_is_no_authority_signs_nothing() -> None:
    root = authority("root")
    impostor = Issuer(server("impostor", number=12, issuer=root), key(12))
    assert "not trusted" in verdict(server(issuer=impostor), Lists((root.certificate,)), impostor.certificate)
    unable = authority("unable", number=13, is_authority=False)
    assert "not trusted" in verdict(server(issuer=unable), Lists((unable.certificate,)))


def test_an_authority_has_no_more_below_it_than_it_may() -> None:
    root = authority("root", path_length=0)
    middle = authority("middle", number=11, issuer=root)
    assert verdict(server(issuer=root), Lists((root.certificate,))) == ""
    assert "not trusted" in verdict(server(issuer=middle), Lists((root.certificate,), (middle.certificate,)))


def test_a_circle_of_authorities_ends() -> None:
    first = authority("one", number=10)
    second = authority("two", number=11, issuer=first)
    again = authority("one", number=10, issuer=second)
    lists = Lists(issuers=(second.certificate, again.certificate))
    assert "not trusted" in verdict(server(issuer=second), lists)


def test_an_expired_authority_answers_for_nobody() -> None:
    root = authority(end=NOW - timedelta(days=1))
    assert "expired" in verdict(server(issuer=root), Lists((root.certificate,)))


def test_a_revoked_certificate_is_refused_and_a_forged_list_revokes_nothing() -> None:
    root = authority()
    signed = server(issuer=root, serial=77)
    assert "revoked" in verdict(signed, Lists((root.certificate,), (), (revocations(root, 77),)))
    assert verdict(signed, Lists((root.certificate,), (), (revocations(root, 78),))) == ""
    forged = revocations(authority(number=11), 77)
    assert verdict(signed, Lists((root.certificate,), (), (forged,))) == ""
    both = Lists((signed,), (root.certificate,), (revocations(root, 77),))
    assert "revoked" in verdict(signed, both), "also where the very certificate was accepted"


@pytest.mark.parametrize(
    ("host", "taken"),
    [
        ("press.plant.example", True), ("PRESS.plant.example.", True), ("192.0.2.7", True),
        ("2001:db8::7", True), ("cell.line.example", True), ("a.b.line.example", False),
        ("line.example", False), ("other.plant.example", False), ("192.0.2.8", False),
    ],
)  # fmt: skip
def test_by_an_authority_a_server_is_taken_under_its_own_hosts_alone(host: str, taken: bool) -> None:
    root = authority()
    names = (
        x509.DNSName("press.plant.example"), x509.DNSName("*.line.example"),
        *(x509.IPAddress(ipaddress.ip_address(each)) for each in ("192.0.2.7", "2001:db8::7")),
    )  # fmt: skip
    signed = server(issuer=root, hosts=names)
    found = verdict(signed, Lists((root.certificate,)), host=host)
    assert (found == "") is taken
    assert taken or "it is for other hosts" in found
    assert verdict(signed, Lists((root.certificate,)), host=host, tolerate=frozenset({Flaw.HOST_NAME})) == ""
    assert verdict(signed, pinned(signed), host=host) == "", "an accepted certificate is that one key"


@pytest.mark.parametrize(("purposes", "signs"), [([ExtendedKeyUsageOID.CLIENT_AUTH], True), ([], False)])
def test_a_certificate_that_is_not_for_servers_is_refused(
    purposes: list[x509.ObjectIdentifier], signs: bool
) -> None:
    certificate = server(purposes=purposes, signs=signs)
    assert "not for use by a server" in verdict(certificate, pinned(certificate))
    assert verdict(certificate, pinned(certificate), tolerate=frozenset({Flaw.USAGE})) == ""


def test_weak_keys_and_hashes_are_refused_though_accepted() -> None:
    weak = server(bits=1024)
    assert "1024 bits" in verdict(weak, pinned(weak), tolerate=frozenset(Flaw))
    old = x509.load_pem_x509_certificate(SIGNED_WITH_SHA1)
    assert "SHA-1" in verdict(old, pinned(old), tolerate=frozenset(Flaw))


def test_a_certificate_is_described_on_one_line() -> None:
    text = describe(server("press\nline"))
    assert text.startswith("CN=press?line, thumbprint ")
    assert len(text.rpartition(" ")[2]) == 40
