"""Transports as they are written, and what is said about the wrong ones."""

import ssl
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from edge_agent.drivers.modbus.settings import ModbusConnection
from edge_agent.drivers.modbus.tls import tls_error_text
from edge_agent.drivers.modbus.transports import TlsTransport
from edge_agent.pipeline.build import located


def connection(transport: dict[str, Any], address: str = "holding:0") -> ModbusConnection:
    group = {"name": "g", "interval": "1s", "unit_id": 0, "tags": [{"name": "t", "address": address}]}
    return ModbusConnection.model_validate({"name": "plc", "transport": transport, "groups": [group]})


def test_a_transport_without_a_type_is_tcp() -> None:
    made = connection({"host": "h"}).transport
    assert (made.type, made.port) == ("tcp", 502)
    assert connection({"type": "tls", "host": "h"}).transport.port == 802


@pytest.mark.parametrize(
    ("transport", "text"),
    [
        ({"type": "serial", "port": "/dev/ttyS0"}, "unit 0 is everyone"),
        ({"type": "rtu_over_tcp", "host": "h"}, "unit 0 is everyone"),
        ({"type": "serial", "port": "/dev/ttyS0", "data_bits": 7}, "Input should be 8"),
        ({"type": "tls", "host": "h", "key_file": "k"}, "key_file needs cert_file"),
        ({"type": "udp", "host": "h", "transaction_ids": "ignored"}, "Extra inputs"),
        ({"host": "press1..plant"}, "host\n.*no host name"),
        ({"type": "udp", "host": "x" * 64}, "host\n.*no host name"),
        ({"type": "rtu_over_tcp", "host": "press1\0"}, "host\n.*no host name"),
        ({"type": "tls", "host": "h", "server_name": ".plant"}, "server_name\n.*no host name"),
        ({"type": "tls", "host": "h", "server_name": "a\0b"}, "server_name\n.*no host name"),
    ],
)
def test_what_can_never_work_is_refused(transport: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        connection(transport)


@pytest.mark.parametrize("host", ["192.0.2.1", "fe80::1%eth0", "press1.plant.", "프레스.plant"])
def test_hosts_are_names_and_addresses_of_any_kind(host: str) -> None:
    assert connection({"host": host}).transport.model_dump()["host"] == host


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("file:4.0", "function 20.*not supported.*copy what is needed into holding registers"),
        ("fifo:10", "function 24.*not supported.*copy what is needed into holding registers"),
    ],
)
def test_files_and_queues_are_refused_by_name(address: str, text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        connection({"host": "h"}, address)


def test_tls_files_are_relative_to_the_config() -> None:
    made = connection({"type": "tls", "host": "h", "ca_file": "ca.pem", "cert_file": "/etc/agent.pem"})
    transport = located(made, Path("/srv/site"), Path("/srv/state")).transport  # type: ignore[attr-defined]
    assert isinstance(transport, TlsTransport)
    assert transport.ca_file == "/srv/site/ca.pem"
    assert transport.cert_file == "/etc/agent.pem"
    assert transport.key_file is None
    plain = connection({"host": "h"})
    assert located(plain, Path("/srv/site"), Path("/srv/state")) is plain


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "refuses the certificate of this agent"),
        ("TLSV1_ALERT_UNKNOWN_CA", "refuses the certificate of this agent"),
        ("WRONG_VERSION_NUMBER", "no TLS connection: wrong version number"),
    ],
)
def test_tls_alerts_are_put_into_words(reason: str, text: str) -> None:
    error = ssl.SSLError(1, "alert")
    error.reason = reason
    assert text in tls_error_text(error)
