"""`central.url` that names a broker, and what stands beside it."""

import sys

import pytest

from edge_agent.config.models import BrokerSettings, CentralSettings
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
