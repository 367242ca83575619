import base64

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from edge_agent.contracts.errors import ConfigError
from edge_agent.hooks import signing
from edge_agent.hooks.errors import ScriptRefused
from edge_agent.wire.scripts import HookPoint, OnFailure, Script, Signature

SCRIPT = Script(name="oil", hook_type=HookPoint.TRANSFORM, source="def transform(frame): pass\n")


def test_what_was_signed_is_known_by_its_key() -> None:
    pem, public = signing.new_key()
    signed = signing.sign(SCRIPT, "plant", pem)
    assert signing.signer(signed, {"other": signing.new_key()[1], "plant": public}) == "plant"
    assert signing.require(signed, {"plant": public}) == "plant"
    assert signing.public_key(pem) == public
    assert (signed.sha256, signed.version) == (SCRIPT.sha256, SCRIPT.version)


@pytest.mark.parametrize(
    "change",
    [
        {"source": SCRIPT.source + " "}, {"name": "oil2"}, {"hook_type": HookPoint.BEFORE_FORWARD},
        {"groups": ["press1.*"]}, {"keep_raw": True}, {"on_failure": OnFailure.WITHHOLD}, {"timeout_ms": 5},
        {"worker": "shared"}, {"schedule": "* * * * *"}, {"timezone": "Asia/Seoul"},
    ],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_a_signature_is_for_one_script_and_its_settings(change: dict[str, object]) -> None:
    pem, public = signing.new_key()
    changed = signing.sign(SCRIPT, "plant", pem).model_copy(update=change)
    with pytest.raises(ScriptRefused, match="does not fit this source"):
        signing.require(changed, {"plant": public})


def test_every_setting_of_a_script_but_version_and_signatures_is_signed() -> None:
    tried = {"source", "name", "hook_type", "groups", "keep_raw", "on_failure", "timeout_ms", "worker",
             "schedule", "timezone"}  # fmt: skip
    assert set(Script.model_fields) - {"version", "signatures"} == tried


def test_the_centres_number_is_not_signed() -> None:
    pem, public = signing.new_key()
    signed = signing.sign(SCRIPT, "plant", pem)
    assert signing.signer(signed.model_copy(update={"version": 7}), {"plant": public}) == "plant"


def test_a_key_that_is_not_named_counts_for_nothing() -> None:
    pem, public = signing.new_key()
    signed = signing.sign(SCRIPT, "intern", pem)
    with pytest.raises(ScriptRefused, match=r"signed by intern alone; .* wants one of: plant"):
        signing.require(signed, {"plant": public})
    # Nor does another's name on a signature.
    posed = SCRIPT.model_copy(
        update={"signatures": [Signature(key="plant", signature=signed.signatures[0].signature)]}
    )
    assert signing.signer(posed, {"plant": signing.new_key()[1]}) is None
    with pytest.raises(ScriptRefused, match="is not signed"):
        signing.require(SCRIPT, {"plant": public})


def test_one_good_signature_among_bad_ones_is_enough() -> None:
    pem, public = signing.new_key()
    signed = signing.sign(SCRIPT, "plant", pem)
    bad = [Signature(key="plant", signature=text) for text in ("", "AAAA", "no base64!", "한글")]
    assert signing.signer(signed.model_copy(update={"signatures": [*bad, *signed.signatures]}),
                          {"plant": public}) == "plant"  # fmt: skip


def test_signing_again_replaces_the_signature_of_that_name_alone() -> None:
    first, second = signing.new_key(), signing.new_key()
    signed = signing.sign(signing.sign(SCRIPT, "a", first[0]), "b", second[0])
    again = signing.sign(signed, "a", second[0])
    assert [each.key for each in again.signatures] == ["b", "a"]
    assert signing.signer(again, {"a": first[1]}) is None
    assert signing.signer(again, {"a": second[1]}) == "a"


def test_a_key_under_a_passphrase_opens_with_it_alone() -> None:
    pem, public = signing.new_key(b"correct horse")
    signed = signing.sign(SCRIPT, "plant", pem, b"correct horse")
    assert signing.signer(signed, {"plant": public}) == "plant"
    with pytest.raises(ConfigError, match="under a passphrase"):
        signing.sign(SCRIPT, "plant", pem)
    with pytest.raises(ConfigError, match="passphrase is wrong"):
        signing.sign(SCRIPT, "plant", pem, b"battery staple")
    with pytest.raises(ConfigError, match="wants no passphrase"):
        signing.sign(SCRIPT, "plant", signing.new_key()[0], b"correct horse")


def test_what_is_no_key_is_said_to_be_none() -> None:
    other = generate_private_key(SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(ConfigError, match="not of Ed25519"):
        signing.sign(SCRIPT, "plant", other)
    with pytest.raises(ConfigError, match="private key is none"):
        signing.sign(SCRIPT, "plant", b"not a key")
    short = "ed25519:" + base64.b64encode(bytes(31)).decode()
    for text in ("", "ed25519:", "ed25519:?", short, base64.b64encode(bytes(32)).decode(), "한글"):
        with pytest.raises(ConfigError, match="public key plant is not ed25519:"):
            signing.check_keys({"plant": text})
    signing.check_keys({"plant": signing.new_key()[1]})
