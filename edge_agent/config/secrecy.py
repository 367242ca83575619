"""Which values are secret, and how messages are kept free of them."""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final

from edge_agent.config.tree import containers

_SECRET_KEY: Final = re.compile(r"token|passw|passphrase|secret|credential|private_?key", re.IGNORECASE)
# Up to the last @ before the path: a password may have one that nobody encoded.
_USER_INFO: Final = re.compile(r"(://)[^/\s'\"]+@")
# Shorter ones would black out parts of ordinary words; where they stand, their messages are masked whole.
_SHORTEST: Final = 4
MASK: Final = "***"


@lru_cache(maxsize=1_024)  # a large document asks for the same few keys again and again
def is_secret_key(key: str) -> bool:
    """Whether a setting (or a variable) of this name holds a secret."""
    return _SECRET_KEY.search(key) is not None


def secret_values(root: Any) -> set[str]:
    """All values that stand under a secret's name, or in the map of secrets."""
    found: set[str] = set()
    for container in containers(root):
        if not isinstance(container, dict):
            continue
        for key, value in container.items():
            if not is_secret_key(str(key)):
                continue
            values = value.values() if isinstance(value, dict) else [value]
            found.update(str(each) for each in values if isinstance(each, str | int | float))
    return found


def masked(message: str, secrets: Iterable[str], value: Any = None) -> str:
    """The message without any of the secrets. `value` is what it is about."""
    text = _USER_INFO.sub(rf"\1{MASK}@", message)
    known = set(secrets)
    for secret in sorted(known, key=len, reverse=True):
        if len(secret) >= _SHORTEST:
            text = text.replace(secret, MASK)
    if isinstance(value, str | int | float) and value != "" and str(value) in known:
        text = text.replace(repr(value), MASK).replace(str(value), MASK)
    return text


def masked_data(value: Any, secrets: Iterable[str]) -> Any:
    """A copy of plain data in which no text has a secret, and no number is one. Keys stay."""
    if isinstance(value, dict):
        return {key: masked_data(item, secrets) for key, item in value.items()}
    if isinstance(value, list):
        return [masked_data(item, secrets) for item in value]
    if isinstance(value, str):
        return masked(value, secrets, value)
    return MASK if is_secret_number(value, secrets) else value


def is_secret_number(value: Any, secrets: Iterable[str]) -> bool:
    """Whether a number is a secret's. Short ones are not looked at: they stand everywhere."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    text = str(value)
    return len(text) >= _SHORTEST and text in secrets
