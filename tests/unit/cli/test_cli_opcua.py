"""browse and opcua trust: what is printed of a server and of certificates."""

import json
from pathlib import Path
from typing import Any

import pytest

from edge_agent.contracts.driver import Browsed

NOW_MS = 1_767_237_121_500
DAY_MS = 86_400_000
FOUND = [
    Browsed(("Press",), "ns=2;s=Press", is_tag=False),
    Browsed(("Press", "Oil"), "ns=2;s=Oil", True, "float32", 1, True, "°C", "Oil temperature"),
    Browsed(("Press", "Odd"), "ns=2;s=x1..5", True, "int16"),
]


def certificate(thumbprint: str, **more: Any) -> dict[str, Any]:
    return {
        "list": "rejected", "thumbprint": thumbprint, "subject": "CN=press\x1b[2J",
        "application_uri": "urn:press", "not_before": NOW_MS - DAY_MS, "not_after": NOW_MS + DAY_MS, **more,
    }  # fmt: skip


def test_browse_prints_what_a_config_takes(cli: Any, app: Any) -> None:
    app.offered = FOUND
    assert cli("browse", "-c", "a.yaml", "press1") == 0
    assert app.asked == [Path("a.yaml"), ("press1", "", 10)]
    assert cli.out == (
        '- {name: "Press.Oil", address: "ns=2;s=Oil", type: float32, unit: "°C"}  '
        "# Oil temperature, writable\n"
    )
    assert cli.err == "edge-agent: left out: 'ns=2;s=x1..5': a config would read another address\n"
    assert cli("browse", "-c", "a.yaml", "press1", "ns=2;s=Press", "--depth", "3", "--format", "csv") == 0
    assert app.asked[-1] == ("press1", "ns=2;s=Press", 3)
    assert cli.out.splitlines()[1].startswith('"Press.Oil","ns=2;s=Oil","float32"')
    assert cli("browse", "-c", "a.yaml", "press1", "--format", "json") == 0
    printed = cli.out
    assert cli("browse", "-c", "a.yaml", "press1", "--json") == 0
    assert cli.out == printed
    assert [each["address"] for each in json.loads(cli.out)] == [each.address for each in FOUND]


def test_browse_says_how_far_it_is_and_where_nothing_is(cli: Any, app: Any) -> None:
    app.offered = [Browsed((str(number),), f"i={number}", is_tag=False) for number in range(1_200)]
    assert cli("browse", "-c", "a.yaml", "press1") == 0
    assert cli.out == ""
    assert cli.err.splitlines() == [
        "edge-agent: 500 found so far",
        "edge-agent: 1,000 found so far",
        "edge-agent: there is no tag among 1200 things: begin elsewhere, or go deeper (--depth)",
    ]


@pytest.mark.parametrize("depth", ["0", "101", "many"])
def test_browse_goes_down_so_and_so_many_levels(cli: Any, depth: str) -> None:
    with pytest.raises(SystemExit) as ended:
        cli("browse", "-c", "a.yaml", "press1", "--depth", depth)
    assert ended.value.code == 2


def test_trust_list_shows_certificates_and_until_when(cli: Any, app: Any) -> None:
    app.trust.found = {
        "AA": certificate("AA", list="own"),
        "BB": certificate("BB", not_after=NOW_MS - 1),
        "CC": certificate("CC", not_before=NOW_MS + 1, application_uri=""),
    }
    assert cli("opcua", "trust", "list", "-c", "a.yaml") == 0
    assert app.asked == [("trust", Path("a.yaml"))]
    assert cli.out.splitlines() == [
        "list      thumbprint  subject          application  until",
        "own       AA          CN=press\\x1b[2J  urn:press    2026-01-02",
        "rejected  BB          CN=press\\x1b[2J  urn:press    2026-01-01 (expired)",
        "rejected  CC          CN=press\\x1b[2J  –            2026-01-02 (not yet valid)",
    ]
    assert cli("opcua", "trust", "list", "-c", "a.yaml", "--json") == 0
    assert [each["thumbprint"] for each in json.loads(cli.out)] == ["AA", "BB", "CC"]


def test_trust_list_without_certificates_says_who_makes_one(cli: Any) -> None:
    assert cli("opcua", "trust", "list", "-c", "a.yaml") == 0
    assert cli.out == "there are no certificates in pki yet: a secured connection makes one\n"


def test_accept_and_reject_say_from_when_on(cli: Any, app: Any) -> None:
    app.trust.found = {"AA": certificate("AA")}
    assert cli("opcua", "trust", "accept", "AA", "-c", "a.yaml") == 0
    assert cli.out == "trusted from the next connecting on: AA  CN=press\\x1b[2J\n"
    assert app.trust.found["AA"]["list"] == "trusted"
    assert cli("opcua", "trust", "reject", "AA", "-c", "a.yaml", "--json") == 0
    assert json.loads(cli.out)["list"] == "rejected"
    assert cli("opcua", "trust", "accept", "BB", "-c", "a.yaml") == 2
    assert cli.err == "edge-agent: there is no certificate BB\n"
