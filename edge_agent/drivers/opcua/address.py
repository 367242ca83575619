"""How people name a node: `ns=2;s=Press.Oil`, `i=2258`, `nsu=http://vendor.example/press;s=Oil`.

The texts of Part 6, 5.3.1.10 and 5.1.12: a namespace by its index or by its URI, and an identifier that is a
number (`i=`), a text (`s=`), a GUID (`g=`) or bytes in base64 (`b=`). An index is the server's own and may be
another after the server's next start; a URI stays, and is looked up after each connect. In a URI, `%3B`
stands for a semicolon and `%25` for a percent sign. Pure, and without the protocol's library.
"""

import base64
import binascii
import re
import uuid
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final

_WRITTEN: Final = re.compile(r"(?:ns=([0-9]{1,5});|nsu=([^;]+);)?([isgb])=(.*)", re.DOTALL)
_RANGE: Final = re.compile(r"[0-9]{1,9}(:[0-9]{1,9})?(,[0-9]{1,9}(:[0-9]{1,9})?)*")
_MOST_NAMESPACE: Final = 65_535
_MOST_NUMBER: Final = (1 << 32) - 1
_MOST_CHARACTERS: Final = 4_096  # Part 3, 8.2.4


class IdType(StrEnum):
    NUMBER = "i"
    TEXT = "s"
    GUID = "g"
    BYTES = "b"


@dataclass(frozen=True, slots=True)
class Address:
    """namespace: its index; None where `uri` names it. identifier: as it is written."""

    type: IdType
    identifier: str
    namespace: int | None = 0
    uri: str = ""

    def __str__(self) -> str:
        if self.uri:
            uri = self.uri.replace("%", "%25").replace(";", "%3B")
            return f"nsu={uri};{self.type}={self.identifier}"
        return f"{self.type}={self.identifier}" if not self.namespace else self._indexed()

    def _indexed(self) -> str:
        return f"ns={self.namespace};{self.type}={self.identifier}"


@lru_cache(maxsize=1_024)  # a tag's validation asks more than once
def parse(text: str) -> Address:
    """Raises ValueError with what is wrong and how it is written right."""
    match = _WRITTEN.fullmatch(text)
    if match is None:
        raise ValueError(
            f"{text!r} is no node: write ns=2;s=Name, i=2258, or nsu=http://vendor.example/press;s=Name"
        )
    index, uri, letter, identifier = match.groups()
    if index is not None and int(index) > _MOST_NAMESPACE:
        raise ValueError(f"{text!r}: the index of a namespace is at most {_MOST_NAMESPACE}")
    if not identifier or len(identifier) > _MOST_CHARACTERS:
        raise ValueError(f"{text!r:.100}: an identifier has 1 to {_MOST_CHARACTERS} characters")
    type_ = IdType(letter)
    _check_identifier(text, type_, identifier)
    if uri is None:
        return Address(type_, identifier, int(index or 0))
    return Address(type_, identifier, None, uri.replace("%3B", ";").replace("%3b", ";").replace("%25", "%"))


def _check_identifier(text: str, type_: IdType, identifier: str) -> None:
    if type_ is IdType.NUMBER:
        if not (identifier.isascii() and identifier.isdigit() and int(identifier) <= _MOST_NUMBER):
            raise ValueError(f"{text!r}: behind i= stands a number from 0 to {_MOST_NUMBER}")
    elif type_ is IdType.GUID:
        try:
            uuid.UUID(identifier)
        except ValueError:
            raise ValueError(f"{text!r}: behind g= stands a GUID of 32 hexadecimal digits") from None
    elif type_ is IdType.BYTES:
        try:
            base64.b64decode(identifier, validate=True)
        except (binascii.Error, ValueError):
            raise ValueError(f"{text!r}: behind b= stand bytes in base64") from None


def check_index_range(text: str) -> str:
    """Part 4, 7.27: `5`, `2:4`, `0:1,3:5`. Raises ValueError."""
    if _RANGE.fullmatch(text) is None:
        raise ValueError(f"{text!r} is no index range: write 5, 2:4 or 0:1,3:5")
    for dimension in text.split(","):
        first, colon, last = dimension.partition(":")
        if colon and int(first) >= int(last):
            raise ValueError(f"{text!r}: {dimension} must end behind its beginning")
    return text
