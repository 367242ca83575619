"""Signatures of scripts: Ed25519 over what a script is, made offline and checked on the gateway.

A signature covers `Script.canonical`: the source, the hook's name, and every setting that decides what it is
run on. Nobody who holds the centre alone can make one (DESIGN §3, 11). `cryptography` is loaded at the first
use: an agent that requires no signature does without it.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from edge_agent.contracts.errors import ConfigError
from edge_agent.hooks.errors import ScriptRefused
from edge_agent.wire.scripts import KEY_KIND, SIGNED_PREFIX, Script, Signature, key_bytes

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_MISSING: Final = "signatures need the library 'cryptography': pip install 'holdfast[hooks]'"


def new_key(passphrase: bytes | None = None) -> tuple[bytes, str]:
    """A private key as PEM (PKCS 8, under the passphrase if there is one), and its public key as the config
    has it. Raises ConfigError where the library is missing."""
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    except ImportError as error:
        raise ConfigError(_MISSING) from error
    key = Ed25519PrivateKey.generate()
    locked: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase:
        locked = serialization.BestAvailableEncryption(passphrase)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked)
    return pem, _public_text(key)


def public_key(pem: bytes, passphrase: bytes | None = None) -> str:
    """The public key of a private one, as the config has it. Raises ConfigError."""
    return _public_text(_private(pem, passphrase))


def sign(script: Script, key: str, pem: bytes, passphrase: bytes | None = None) -> Script:
    """The script with a signature of `key`, in place of one that it may have of that name. Raises ConfigError
    where `pem` is no such key, or the passphrase does not open it."""
    made = _private(pem, passphrase).sign(SIGNED_PREFIX + script.canonical)
    others = [each for each in script.signatures if each.key != key]
    signature = Signature(key=key, signature=base64.b64encode(made).decode())
    return script.model_copy(update={"signatures": [*others, signature]})


def check_keys(keys: Mapping[str, str]) -> None:
    """Raises ConfigError for the first that is no public key, and where the library is missing."""
    for name, text in keys.items():
        _public(name, text)


def signer(script: Script, keys: Mapping[str, str]) -> str | None:
    """The name of a key that signed this very script; None: none of them did. Raises ConfigError as
    `check_keys` does."""
    message = SIGNED_PREFIX + script.canonical
    public = {name: _public(name, text) for name, text in keys.items()}
    for each in script.signatures:
        if each.key in public and _fits(public[each.key], each.signature, message):
            return each.key
    return None


def require(script: Script, keys: Mapping[str, str]) -> str:
    """The name of the key that signed it. Raises ScriptRefused where none of `keys` did, and ConfigError as
    `check_keys` does. keys: `hooks.require_signature`, not empty."""
    found = signer(script, keys)
    if found is not None:
        return found
    wanted = ", ".join(sorted(keys))
    signed = sorted({each.key for each in script.signatures})
    why = "is not signed"
    if signed:
        known = [name for name in signed if name in keys]
        why = (
            f"has a signature of {', '.join(known)} that does not fit this source and these settings"
            if known
            else f"is signed by {', '.join(signed)} alone"
        )
    raise ScriptRefused(f"{script.name} {why}; hooks.require_signature wants one of: {wanted}")


def _fits(key: "Ed25519PublicKey", signature: str, message: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(base64.b64decode(signature, validate=True), message)
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def _public(name: str, text: str) -> "Ed25519PublicKey":
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError as error:
        raise ConfigError(_MISSING) from error
    data = key_bytes(text)
    if data is None:
        raise ConfigError(
            f"the public key {name} is not {KEY_KIND} and 32 bytes in base64: `edge-agent hook keygen` "
            "prints one"
        )
    return Ed25519PublicKey.from_public_bytes(data)


def _private(pem: bytes, passphrase: bytes | None) -> "Ed25519PrivateKey":
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError as error:
        raise ConfigError(_MISSING) from error
    try:
        key = load_pem_private_key(pem, passphrase or None)
    except TypeError as error:
        wanted = "wants no passphrase" if passphrase else "is under a passphrase: give --passphrase-file FILE"
        raise ConfigError(f"the private key {wanted}") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        wrong = "is none, or the passphrase is wrong" if passphrase else "is none"
        raise ConfigError(f"the private key {wrong}: `edge-agent hook keygen` makes one") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError("the private key is not of Ed25519: `edge-agent hook keygen` makes one")
    return key


def _public_text(key: "Ed25519PrivateKey") -> str:
    return KEY_KIND + base64.b64encode(key.public_key().public_bytes_raw()).decode()
