"""Enrolment tokens: JSON web tokens that the centre signs and alone checks. They carry what the device must
know before it trusts anybody: the centre's address, and the SHA-256 of the certificate that it must meet.

Claims: iss (the centre), jti (the pre-registration), iat, exp, url, ca, device, zone. What a token grants is
read from the pre-registration, not from its claims.
"""

import base64
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from central_sync.services.errors import Busy, Invalid, NotFound

AUDIENCE: Final = "holdfast-enrolment"
_CERTIFICATE: Final = re.compile(
    rb"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Claims:
    id: str
    centre: str
    issued: int
    expires: int
    url: str
    ca: str | None
    device: str | None
    zone: str | None


def sign(claims: Claims, secret: bytes) -> str:
    """The token's text. Raises Busy where the extra `central` is not installed."""
    jwt, key = _library(secret)
    body: dict[str, Any] = {
        "iss": claims.centre,
        "aud": AUDIENCE,
        "jti": claims.id,
        "iat": claims.issued // 1000,
        "exp": claims.expires // 1000,
        "url": claims.url,
        "ca": claims.ca,
        "device": claims.device,
        "zone": claims.zone,
    }
    text = jwt.encode(
        {"alg": "HS256", "typ": "JWT"},
        {name: value for name, value in body.items() if value is not None},
        key,
    )
    return str(text)


def read(text: str, secret: bytes, centre: str) -> str:
    """The pre-registration of a token that this centre signed; whether it is still good is not looked at.
    Raises NotFound, Busy."""
    jwt, key = _library(secret)
    from joserfc.errors import JoseError

    refusal = NotFound("unknown_token", "this enrolment token is not one of this centre's: ask for a new one")
    try:
        claims = jwt.decode(text, key, algorithms=["HS256"]).claims
    except (JoseError, ValueError) as error:
        raise refusal from error
    name = claims.get("jti")
    if claims.get("iss") != centre or claims.get("aud") != AUDIENCE or not isinstance(name, str):
        raise refusal
    return name


def _library(secret: bytes) -> tuple[Any, Any]:
    try:
        from joserfc import jwt
        from joserfc.jwk import OctKey
    except ImportError as error:
        raise Busy(
            "not_installed",
            "enrolment tokens need the extra `central`: pip install 'holdfast[central]'",
            60.0,
        ) from error
    return jwt, OctKey.import_key(secret)


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def pinned(path: Path) -> str:
    """The SHA-256 of the certificate that agents shall meet: the last one of a PEM file, which is the
    authority's where the file is a chain. Raises Invalid."""
    try:
        found = _CERTIFICATE.findall(path.read_bytes())
        return hashlib.sha256(base64.b64decode(found[-1])).hexdigest()
    except (OSError, ValueError, IndexError) as error:
        raise Invalid("bad_certificate", f"{path}: there is no certificate (PEM) to pin in it") from error
