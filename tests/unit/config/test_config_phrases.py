"""What is wrong with a document, in words and with its place."""

from pathlib import Path

import pytest

from edge_agent.config.errors import ConfigErrors
from edge_agent.config.load import load
from tests.unit.config.conftest import DOCUMENT, ErrorsOf
from tests.unit.config.sample_driver import lookup

SCHEMES = "http:// or https:// or mqtt:// or mqtts://"


@pytest.mark.parametrize(
    ("section", "error"),
    [
        (
            "buffer: {flush_intervall: 1s}",
            "10:10: buffer.flush_intervall: unknown key 'flush_intervall', did you mean 'flush_interval'?",
        ),
        ("bufer: {}", "10:1: bufer: unknown key 'bufer', did you mean 'buffer'?"),
        ("remote: {zzz: 1}", "10:10: remote.zzz: unknown key 'zzz'; known: manage"),
        (
            "buffer: {on_full: drop-newest}",
            "10:19: buffer.on_full: needs one of drop_oldest, drop_newest (got 'drop-newest'), "
            "did you mean 'drop_newest'?",
        ),
        (
            "buffer: {flush_interval: 1}",
            "10:26: buffer.flush_interval: needs a duration with a unit such as 500ms, 2s, 1m, 24h (got 1)",
        ),
        (
            "buffer: {flush_interval: 0s}",
            "10:26: buffer.flush_interval: must be between 50ms and 60s (got 0s)",
        ),
        (
            "buffer: {max_bytes: 2GB/s}",
            "10:21: buffer.max_bytes: needs a size with a unit such as 256MiB, 2GiB, 10MB (got '2GB/s')",
        ),
        ("buffer: {path: 12}", "10:16: buffer.path: needs a text: put 12 in quotes"),
        ("buffer: {path: true}", "10:16: buffer.path: needs a text: put true in quotes"),
        ("buffer: {path: [a]}", "10:16: buffer.path: needs a text (got a list)"),
        ("buffer: 5", "10:9: buffer: needs a mapping (key: value) (got 5)"),
        ("remote: {manage: connections}", "10:18: remote.manage: needs a list (got 'connections')"),
        (
            "remote: {manage: [conections]}",
            "10:19: remote.manage[0]: needs one of connections, hooks, central (got 'conections'), did "
            "you mean 'connections'?",
        ),
        ("central: {token: abcd}", "10:10: central.url: is missing"),
        ("central: {url: 'https://x', token: ''}", "10:36: central.token: is empty"),
        (
            "central: {url: 'ftp://x', token: abcd}",
            "10:16: central.url: needs an address that begins with " + SCHEMES,
        ),
        (
            "central: {url: 'http://x:0', token: abcd}",
            "10:16: central.url: needs an address that begins with " + SCHEMES,
        ),
        (
            "central: {url: 'http://[x', token: abcd}",
            "10:16: central.url: needs an address that begins with " + SCHEMES,
        ),
        (
            "central: {url: 'https://me:pw@x', token: abcd}",
            "10:16: central.url: an address with a user name in it: the token identifies this device, "
            "and at a broker central.mqtt.user",
        ),
        (
            "central: {url: 'https://x', token: abcd, proxy: 'socks://x'}",
            "10:49: central.proxy: needs an address that begins with http://",
        ),
    ],
)
def test_sections(errors_of: ErrorsOf, section: str, error: str) -> None:
    assert errors_of(DOCUMENT + section + "\n") == [error]


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        (
            "id: press-shop-01",
            "id: Press Shop",
            "1:13: agent.id: needs lower-case letters, digits and inner hyphens, such as press-1 "
            "(got 'Press Shop')",
        ),
        ("id: press-shop-01", "id: " + "x" * 52, "1:13: agent.id: has more than 51 characters"),
        ("agent: {id: press-shop-01}", "agent: x", "1:8: agent: needs a mapping (key: value) (got 'x')"),
        (
            "driver: sample",
            "driver: smaple",
            "4:13: connections[press1].driver: unknown driver 'smaple'; did you mean 'sample'?",
        ),
        (
            "driver: sample",
            "driver: [sample]",
            "4:13: connections[press1].driver: needs the name of a driver",
        ),
        ("    driver: sample\n", "", "3:5: connections[press1].driver: is missing"),
        (
            "type: tcp",
            "type: tpc",
            "5:16: connections[press1].transport: needs one of tcp, serial (got 'tpc'), did you mean 'tcp'?",
        ),
        ("type: tcp, ", "", "5:16: connections[press1].transport: needs its type"),
        (
            "host: 192.0.2.10",
            "hots: x, host: y",
            "5:28: connections[press1].transport.hots: unknown key 'hots', did you mean 'host'?",
        ),
        (
            "host: 192.0.2.10",
            "host: x, port: 0",
            "5:43: connections[press1].transport.port: must be at least 1 (got 0)",
        ),
        (
            "host: 192.0.2.10",
            "host: x, port: 5o2",
            "5:43: connections[press1].transport.port: needs a whole number (got '5o2')",
        ),
        (
            "interval: 1s",
            "interval: 5",
            "8:19: connections[press1].groups[fast].interval: needs a duration with a unit such "
            "as 500ms, 2s, 1m, 24h (got 5)",
        ),
        (
            "interval: 1s",
            "interval: 0s",
            "8:19: connections[press1].groups[fast].interval: must be between 10ms and 1d (got 0s)",
        ),
        (
            "interval: 1s",
            "interval: -1s",
            "8:19: connections[press1].groups[fast].interval: needs a duration with a unit such "
            "as 500ms, 2s, 1m, 24h (got '-1s')",
        ),
        (
            "interval: 1s",
            "interval: 25h",
            "8:19: connections[press1].groups[fast].interval: must be between 10ms and 1d (got 25h)",
        ),
        (
            "interval: 1s",
            "unit_id: 256\n        interval: 1s",
            "8:18: connections[press1].groups[fast].unit_id: must be at most 255 (got 256)",
        ),
        (
            '"holding:100"',
            '"coil:1"',
            "9:42: connections[press1].groups[fast].tags[oil_temp].address: unknown table in 'coil:1'",
        ),
        (
            '"holding:100"',
            "[1]",
            "9:42: connections[press1].groups[fast].tags[oil_temp].address: needs a whole number "
            "(got a list); or needs a text (got a list)",
        ),
        (
            '"holding:100"',
            "1, scale: 0",
            "9:52: connections[press1].groups[fast].tags[oil_temp].scale: a scale of 0 would "
            "lose every value",
        ),
        (
            '"holding:100"',
            "1, scale: .inf",
            "9:52: connections[press1].groups[fast].tags[oil_temp].scale: needs a finite number (got inf)",
        ),
        (
            '"holding:100"',
            "1, enum: {on: x}",
            "9:56: connections[press1].groups[fast].tags[oil_temp].enum.on: needs a whole number (got 'on')",
        ),
        (
            '"holding:100"',
            "1, type: string, deadband: {absolute: 1}",
            "9:16: connections[press1].groups[fast].tags[oil_temp]: the deadband of a string is "
            "on_change: it is not a number",
        ),
        (
            '"holding:100"',
            "1, deadband: {absolute: 1, on_change: true}",
            "9:55: connections[press1].groups[fast].tags[oil_temp].deadband: give one of "
            "absolute, percent and on_change",
        ),
        (
            "name: oil_temp",
            'name: "a\\tb"',
            "9:23: connections[press1].groups[fast].tags[0].name: control characters are not "
            "allowed in a name",
        ),
        (
            "  - name: press1",
            "  - press1\n  - name: press1",
            "3:5: connections[0]: needs a mapping (key: value)",
        ),
    ],
)
def test_connections(errors_of: ErrorsOf, old: str, new: str, error: str) -> None:
    assert old in DOCUMENT
    assert errors_of(DOCUMENT.replace(old, new, 1)) == [error]


def test_the_document_is_a_mapping(errors_of: ErrorsOf) -> None:
    assert errors_of("- a\n- b\n") == ["1:1: the document is not a mapping (key: value)"]
    assert errors_of("just text\n") == ["1:1: the document is not a mapping (key: value)"]
    assert errors_of("connections: {a: 1}\nagent: {id: a}\n") == [
        "1:14: connections: needs a list: each connection begins with '- name:'"
    ]


def test_an_empty_file_lacks_its_agent(errors_of: ErrorsOf) -> None:
    assert errors_of("") == ["1:1: agent: is missing"]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "none.yaml"
    with pytest.raises(ConfigErrors, match=f"^{path}: cannot be read: No such file or directory$"):
        load(path, lookup, {})
    with pytest.raises(ConfigErrors, match="Is a directory"):
        load(tmp_path, lookup, {})
