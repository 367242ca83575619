"""How a connection is secured: what is refused, what is doubted, where files are."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from edge_agent.config.secrecy import is_secret_key
from edge_agent.drivers.opcua.security_settings import Policy, SecuritySettings

CERTS = {"user_cert_file": "user.pem", "user_key_file": "user.key"}


def made(**given: Any) -> SecuritySettings:
    return SecuritySettings.model_validate(given)


def test_without_a_word_there_is_no_security_and_no_secret() -> None:
    settings = made()
    assert settings.policy is Policy.NONE
    assert not settings.is_encrypted
    assert not settings.needs_certificates
    assert settings.doubts() == []


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"password": "x"}, "a password needs its user"),
        ({"user_cert_file": "a"}, "user_cert_file and user_key_file are given together"),
        ({"key_file": "a"}, "cert_file and key_file are given together"),
        ({"user": "a", "password": "b", **CERTS}, "give one of them"),
        ({"policy": "basic256"}, "Input should be"),
        ({"mode": "none"}, "Input should be"),
    ],
)
def test_what_does_not_fit_together_is_refused(given: dict[str, Any], word: str) -> None:
    with pytest.raises(ValidationError, match=word):
        made(**given)


def test_a_password_is_never_shown() -> None:
    settings = made(policy="basic256sha256", user="holdfast", password="geheim-4711")
    assert "geheim" not in repr(settings)
    assert is_secret_key("password")
    fields = SecuritySettings.model_fields
    assert [name for name in fields if is_secret_key(name)] == ["password"], (
        "others would be masked for nothing"
    )


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"user": "a", "password": "b"}, ("user",)),
        ({"user": "a", "password": "b", "clear_text": "allow"}, ("clear_text",)),
        ({"user": "a", "password": "b", "policy": "basic256sha256", "mode": "sign"}, ("user",)),
        ({"policy": "basic256sha256", "trust": "none"}, ("trust",)),
        ({"policy": "basic256sha256", "tolerate": ["time"]}, ("tolerate",)),
    ],
)
def test_what_is_unwise_is_told_at_its_place(given: dict[str, Any], path: tuple[str, ...]) -> None:
    assert [found for found, _ in made(**given).doubts()] == [path]


@pytest.mark.parametrize(
    "given",
    [
        {"policy": "aes256_sha256_rsapss", "user": "a", "password": "b"},
        {"policy": "aes128_sha256_rsaoaep", "mode": "sign", **CERTS},
        {"user": "a"},
    ],
)
def test_what_is_safe_is_not_doubted(given: dict[str, Any]) -> None:
    assert made(**given).doubts() == []


def test_files_are_beside_the_config_and_certificates_beside_the_buffer() -> None:
    settings = made(policy="basic256sha256", cert_file="a.pem", key_file="/etc/a.key", **CERTS)
    settled = settings.beside(Path("/srv/site")).kept_in(Path("/var/lib/holdfast"))
    assert settled.cert_file == "/srv/site/a.pem"
    assert settled.key_file == "/etc/a.key"
    assert settled.user_key_file == "/srv/site/user.key"
    assert settled.store == Path("/var/lib/holdfast/pki")
    assert settings.store == Path("pki"), "the config's own stays as it is"
