"""`mqtt:` of central.yaml: what is taken, what is refused, and what the centre says before it starts."""

import sys
from pathlib import Path

import pytest

from central_sync import app
from central_sync.settings import Settings, SettingsError, load_settings

GOOD = "mqtt:\n  url: mqtts://broker.example.com\n  user: centre\n  password_file: secret\n"


def load(directory: Path, text: str) -> Settings:
    file = directory / "central.yaml"
    file.write_text(text)
    return load_settings(file, {})


def test_files_are_found_beside_the_settings(tmp_path: Path) -> None:
    found = load(tmp_path, GOOD + "  ca_file: ca.pem\n").mqtt
    assert found is not None
    assert (found.password_file, found.ca_file) == (tmp_path / "secret", tmp_path / "ca.pem")
    assert (found.prefix, found.group) == ("holdfast", None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mqtt: {url: 'mqtt://broker.example.com'}", "not encrypted and not loopback"),
        ("mqtt: {url: 'https://broker.example.com'}", "mqtt.url"),
        ("mqtt: {url: 'mqtts://me:pw@broker'}", "mqtt.url"),
        ("mqtt: {url: 'mqtts://b', cert: a.pem}", "cert and key belong together"),
        ("mqtt: {url: 'mqtts://b', password_file: a}", "name its user"),
        ("mqtt: {url: 'mqtts://b', group: short}", "mqtt.group"),
        ("mqtt: {url: 'mqtts://b', group: 'a/+/long/one'}", "mqtt.group"),
        ("mqtt: {url: 'mqtts://b', prefix: '#'}", "mqtt.prefix"),
        ("mqtt: {url: 'mqtts://b', topic: x}", "unknown setting"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=r"central\.yaml:1:") as refused:
        load(tmp_path, text)
    assert said in str(refused.value)


def test_without_tls_a_broker_on_this_machine_is_taken(tmp_path: Path) -> None:
    assert load(tmp_path, "mqtt: {url: 'mqtt://127.0.0.1:1883'}").mqtt is not None


def test_a_file_that_is_not_there_is_told_before_the_start(tmp_path: Path) -> None:
    problems = app.check(load(tmp_path, GOOD))
    assert any("secret cannot be read" in problem for problem in problems)


def test_without_the_library_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiomqtt", None)
    problems = app.check(load(tmp_path, GOOD))
    assert any("pip install 'holdfast[mqtt]'" in problem for problem in problems)
