"""When a certificate is valid and whose it is, from its bytes (DER, X.690; RFC 5280, 4.1). Pure.

The standard library decodes only certificates that it trusts, and of interest are those that it does not.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

_SEQUENCE: Final = 0x30
_VERSION: Final = 0xA0
_UTC_TIME: Final = 0x17
_COMMON_NAME: Final = bytes((0x55, 0x04, 0x03))  # 2.5.4.3


@dataclass(frozen=True, slots=True)
class Certificate:
    """issuer, subject: common names; empty where there is none."""

    begins: datetime
    ends: datetime
    issuer: str
    subject: str


def parse(der: bytes) -> Certificate:
    """Raises ValueError for what is no certificate."""
    try:
        _, whole, _ = _element(der)
        _, body, _ = _element(whole)
        fields = _elements(body)
        if fields[0][0] == _VERSION:
            del fields[0]
        issuer, validity, subject = fields[2][1], fields[3][1], fields[4][1]
        begins, ends = (_time(tag, content) for tag, content in _elements(validity))
        return Certificate(begins, ends, _name(issuer), _name(subject))
    except (IndexError, ValueError) as error:
        raise ValueError("this is no certificate") from error


def _element(data: bytes) -> tuple[int, bytes, bytes]:
    """The first element: its tag and content; and what follows it."""
    tag, length, start = data[0], data[1], 2
    if length & 0x80:
        start += length & 0x7F
        length = int.from_bytes(data[2:start])
    if start + length > len(data):
        raise ValueError("cut short")
    return tag, data[start : start + length], data[start + length :]


def _elements(data: bytes) -> list[tuple[int, bytes]]:
    found = []
    while data:
        tag, content, data = _element(data)
        found.append((tag, content))
    return found


def _time(tag: int, content: bytes) -> datetime:
    """UTCTime (YYMMDDHHMMSSZ, 1950 to 2049) or GeneralizedTime (YYYYMMDDHHMMSSZ)."""
    text = content.decode("ascii")
    if tag == _UTC_TIME:
        text = ("20" if text[:2] < "50" else "19") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _name(content: bytes) -> str:
    """The common name of a distinguished name."""
    for _, part in _elements(content):
        for tag, pair in _elements(part):
            if tag != _SEQUENCE:
                continue
            (_, kind), (_, value) = _elements(pair)
            if kind == _COMMON_NAME:
                return value.decode("utf-8", "replace")
    return ""
