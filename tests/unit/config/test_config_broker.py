"""`central.url` that names a broker, and what stands beside it."""

import sys
from pathlib import Path

import pytest

from edge_agent.config.models import BrokerSettings, CentralSettings
from edge_agent.uplink.mqtt import MqttTransport
from edge_agent.wire.batch import MAX_COMPRESSED_BYTES
from edge_agent.wire.messages import Head
from edge_agent.wire.upload import BatchItem, encode_upload
from tests.unit.config.conftest import ErrorsOf, LoadText

DOCUMENT = """
agent: {id: press-1}
central: {url: '%s'%s}
connections: []
"""


def document(url: str, more: str = "") -> str:
    return DOCUMENT % (url, more)


@pytest.mark.parametrize("url", ["mqtt://127.0.0.1:1883", "mqtts://broker.example.com", "mqtts://[::1]:8883"])
def test_a_broker_is_an_address_of_the_centre(load_text: LoadText, url: str) -> None:
    central = load_text(document(url)).document.central
    assert central is not None
    assert (central.url, central.token, central.mqtt) == (url, None, None)


@pytest.mark.parametrize(
    ("url", "more", "said"),
    [
        ("mqtts://broker/devices", "", "ends with its port"),
        ("mqtts://me@broker", "", "central.mqtt.user"),
        ("mqtts://broker:0", "", "needs an address"),
        ("ws://broker", "", "needs an address"),
        ("mqtts://broker", ", proxy: 'http://192.0.2.1:3128'", "without an HTTP proxy"),
        ("mqtts://broker", ", mqtt: {key_file: a.pem}", "no cert_file"),
        ("mqtts://broker", ", mqtt: {user: me}", "give its password"),
        ("mqtts://broker", ", mqtt: {prefix: 'a/#'}", "prefix"),
        ("mqtts://broker", ", mqtt: {max_packet: 1KiB}", "16KiB"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(
    errors_of: ErrorsOf, url: str, more: str, said: str
) -> None:
    (error,) = errors_of(document(url, more))
    assert said in error
    assert error.startswith("3:")


def test_a_password_without_tls_is_warned_of(load_text: LoadText) -> None:
    (warning,) = (
        str(each) for each in load_text(document("mqtt://broker.example.com")).warnings if "mqtt" in str(each)
    )
    assert "shows the password and all data to everybody on the way: use mqtts://" in warning


def test_the_password_is_in_no_text_of_the_settings() -> None:
    settings = CentralSettings(url="mqtts://broker", mqtt=BrokerSettings(password="hush-hush"))
    assert "hush" not in repr(settings)


def test_without_the_library_it_says_what_to_install(
    errors_of: ErrorsOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "aiomqtt", None)
    (error,) = errors_of(document("mqtts://broker"))
    assert "pip install 'holdfast[mqtt]'" in error


def test_a_batch_fits_a_message_together_with_the_head_of_its_upload() -> None:
    held = [(2 * n, 2 * n) for n in range(1 << 39, (1 << 39) + 80)]
    head = Head(epoch="e" * 32, no=9, run="r" * 16, boot="b" * 36, floor=1, next=1 << 40, held=held,
                now=1 << 41, sync=True)  # fmt: skip
    for max_packet in ("16KiB", "100KiB"):
        central = CentralSettings(url="mqtts://broker", mqtt=BrokerSettings(max_packet=max_packet))
        item = BatchItem(1, 0, 0, 1, 1, 0, 0, bytes(16), bytes(central.batch_bytes))
        assert len(encode_upload(head, [item])) <= MqttTransport(central, "d", Path("/")).most_bytes
    assert CentralSettings(url="mqtts://broker").batch_bytes == MAX_COMPRESSED_BYTES
    assert CentralSettings(url="https://centre").batch_bytes == MAX_COMPRESSED_BYTES
