"""What the settings of several drivers ask of a host, a character set, a text or a range of names. Pure."""

import codecs
from typing import Annotated

from pydantic import AfterValidator

from edge_agent.config.models import TagSettings
from edge_agent.wire.schema import ValueType


def _host_name(name: str) -> str:
    """The name, if a resolver and TLS can be asked for it. Raises ValueError."""
    try:
        name.encode("idna")
    except UnicodeError:
        raise ValueError(f"{name!r} is no host name: a part of it is empty, too long or no text") from None
    if "\0" in name:
        raise ValueError(f"{name!r} is no host name: there is a NUL in it")
    return name


def _character_set(encoding: str) -> str:
    """Its canonical name. Raises ValueError."""
    try:
        name = codecs.lookup(encoding).name
        "A".encode(name)
    except LookupError:
        raise ValueError(f"unknown character set {encoding!r}") from None
    return name


HostName = Annotated[str, AfterValidator(_host_name)]
CharacterSet = Annotated[str, AfterValidator(_character_set)]


def check_step(step: int | None, width: int) -> None:
    """step: distance of two addresses of a range of names. Raises ValueError where values do not fill it."""
    if step is not None and step != width:
        raise ValueError(f"the address range gives each name {step}, and the type takes {width}")


def check_unscaled(what: str, tag: TagSettings) -> None:
    """Raises ValueError for a text that would be computed with."""
    if tag.scale != 1.0 or tag.offset != 0.0 or tag.enum:
        raise ValueError(f"a {what} has no scale, offset or enum")


def check_string(tag: TagSettings, count: int, length: int | None) -> None:
    """length: in bytes. Raises ValueError for a string without a length, and a length without a string."""
    if tag.type is not ValueType.STRING:
        if length is not None:
            raise ValueError(f"length is for strings; an array of {tag.type} takes count")
        return
    if length is None:
        raise ValueError("a string needs its length in bytes")
    if count != 1:
        raise ValueError("arrays of strings are not supported: give each string its own tag")
    check_unscaled("string", tag)
