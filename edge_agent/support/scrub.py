"""Masks secrets in any text: those that are known, however they are written, and what looks like one.

Pure. It errs on the side of masking: a support bundle that hides a word too much still helps.
"""

import base64
import json
import re
from collections.abc import Collection, Iterable
from typing import Final
from urllib.parse import quote, quote_plus, unquote

from edge_agent.config.secrecy import MASK, masked

# Shorter ones would black out parts of ordinary words; where a setting has one, its line is masked.
SHORTEST: Final = 4
_SHORTEST_LINE: Final = 16
_WORD: Final = r"[\w-]*(?:token|passw|passphrase|secret|credential|private_?key)[\w-]*"
# `password=…`, `"token": "…"`, `?api_token=…&`. What only names a secret stays: `!secret NAME`, `${NAME}`.
_NAMED: Final = re.compile(
    rf"(?P<key>(?<![\w-]){_WORD}[\"']?\s*[=:]\s*)"
    r"(?!!secret\b|\$\{\w+\}|\*\*\*|[\[{\\]|null\b)"
    r"(?P<value>\"(?:[^\"\\]|\\.)*\"|'[^']*'|[^\s,;&\"'}\])]+)",
    re.IGNORECASE,
)
_AUTHORIZATION: Final = re.compile(r"\b(Bearer|Basic|Digest)(\s+)(?!\*\*\*)[\w.~+/=-]{4,}", re.IGNORECASE)
_DEVICE_TOKEN: Final = re.compile(r"\bhf_[\w-]{8,}")
_PRIVATE_KEY: Final = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL
)
_USER_INFO: Final = re.compile(r"://([^/\s'\"]+)@")


class Scrubber:
    """Knows the secrets of one machine. secrets: as they are."""

    def __init__(self, secrets: Iterable[str]) -> None:
        known = {secret.strip() for secret in secrets}
        forms = {form for secret in known if len(secret) >= SHORTEST for form in forms_of(secret)}
        ordered = sorted(forms, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def clean(self, text: str) -> str:
        """The text without any of them, and without what stands where secrets stand."""
        if self._known is not None:
            text = self._known.sub(MASK, text)
        text = _PRIVATE_KEY.sub(MASK, masked(text, ()))
        text = _AUTHORIZATION.sub(rf"\1\2{MASK}", text)
        text = _DEVICE_TOKEN.sub(MASK, text)
        return _NAMED.sub(_without_value, text)


def forms_of(secret: str) -> set[str]:
    """How a secret is written in URLs, JSON, headers and traces; and the lines of one that has several."""
    forms = {
        secret,
        quote(secret, safe=""),
        quote(secret),
        quote_plus(secret),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        repr(secret)[1:-1],
        secret.replace("'", "''"),
        *_encoded(secret.encode()),
    }
    forms.update(line.strip() for line in secret.splitlines() if len(line.strip()) >= _SHORTEST_LINE)
    return forms


def user_infos(text: str) -> set[str]:
    """What stands before the host in the URLs of a text: as written, and its password plain and encoded."""
    found: set[str] = set()
    for info in _USER_INFO.findall(text):
        user, _, password = info.partition(":")
        found |= {info, password, unquote(password)} if password else {info}
        found |= _encoded(f"{unquote(user)}:{unquote(password)}".encode())
    return {each for each in found if len(each) >= SHORTEST}


def holds(text: str, secrets: Collection[str]) -> bool:
    """Whether one of the secrets is still in the text."""
    return any(secret in text for secret in secrets if len(secret) >= SHORTEST)


def _encoded(data: bytes) -> set[str]:
    return {base64.b64encode(data).decode().rstrip("="), base64.urlsafe_b64encode(data).decode().rstrip("=")}


def _without_value(match: re.Match[str]) -> str:
    value = match["value"]
    quotes = value[0] if value[0] in "\"'" else ""
    return f"{match['key']}{quotes}{MASK}{quotes}"
