"""Files that a config names and that are not there: a warning of a load, with its place."""

from pathlib import Path

import pytest

from tests.unit.config.conftest import DOCUMENT, LoadText

CENTRAL = "central: {url: 'https://x', token: !secret t, ca_file: ca.pem}\n"
TLS = """\
agent: {id: a}
connections:
  - name: press1
    driver: modbus
    transport: {type: tls, host: h, ca_file: plc.pem}
    groups: [{name: g, interval: 1s, tags: [{name: t, address: 40001}]}]
"""


def warnings(loaded: object) -> list[str]:
    return [str(each) for each in loaded.warnings if each.of_machine]  # type: ignore[attr-defined]


def test_a_certificate_that_is_not_there(load_text: LoadText) -> None:
    assert warnings(load_text(DOCUMENT + CENTRAL, files={"t": "secret"})) == [
        "config.yaml:10:56: central.ca_file: ca.pem cannot be read: No such file or directory"
    ]
    assert warnings(load_text(DOCUMENT + CENTRAL, files={"ca.pem": "x"})) == []


def test_a_directory_is_no_certificate(load_text: LoadText) -> None:
    Path("ca.pem").mkdir()
    (warning,) = warnings(load_text(DOCUMENT + CENTRAL, files={"t": "secret"}))
    assert warning.endswith("ca.pem cannot be read: it is no file")


def test_those_of_connections_count_where_they_are_used(load_text: LoadText) -> None:
    assert warnings(load_text(TLS)) == [
        "config.yaml:5:46: connections[press1].transport.ca_file: plc.pem cannot be read: "
        "No such file or directory"
    ]
    assert warnings(load_text(TLS.replace("driver: modbus", "driver: modbus\n    enabled: no"))) == []


@pytest.mark.parametrize("path", ["/nowhere/at/all.pem", '"a\\0b"'])
def test_no_path_stops_a_load(load_text: LoadText, path: str) -> None:
    assert len(warnings(load_text(DOCUMENT + CENTRAL.replace("ca.pem", path), files={"t": "secret"}))) == 1
