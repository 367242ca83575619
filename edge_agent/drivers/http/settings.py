"""The settings of an HTTP connection, its groups and tags."""

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, StringConstraints, field_validator, model_validator

from edge_agent.config.models import ConnectionSettings, GroupSettings, TagSettings, TransportSettings
from edge_agent.config.units import Bytes, Size, parse_size
from edge_agent.drivers.http.address import Format, check_address, check_pointer
from edge_agent.wire.schema import MAX_ELEMENTS, ValueType

# Reading a document of this size takes some 30 ms, for which nothing else is polled.
MOST_BODY: Final = 4 << 20
_HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")  # RFC 9110, 5.6.2
_OWN_HEADERS: Final = {
    "authorization": "use token, or username and password",
    "host": "it follows from url",
    "content-length": "a GET has no body",
    "transfer-encoding": "a GET has no body",
    "accept-encoding": "the agent says what it can decode",
    "connection": "the agent keeps one link open",
}
_VISIBLE: Final = re.compile(r"[\x21-\x7e]{1,2000}")
UrlPath = Annotated[str, StringConstraints(min_length=1, max_length=2000)]


class Verify(StrEnum):
    FULL = "full"
    NONE = "none"


class Authentication(StrEnum):
    BASIC = "basic"
    DIGEST = "digest"


class HttpTransport(TransportSettings):
    """One server. Files are relative to the config file."""

    takes_many: ClassVar[bool] = True

    url: str = Field(
        description="Where the server is, and what all paths begin with.", examples=["http://192.0.2.30"]
    )
    headers: dict[str, str] = Field(
        default_factory=dict, description="Headers of every request.", examples=[{"X-Site": "north"}]
    )
    secret_headers: dict[str, str] = Field(
        default_factory=dict, repr=False,
        description="Headers whose values are secret.", examples=[{"X-Api-Key": "!secret meter-key"}],
    )  # fmt: skip
    username: str | None = Field(
        None, min_length=1, max_length=200, description="User, where the server asks for one.",
        examples=["reader"],
    )  # fmt: skip
    password: str | None = Field(
        None, min_length=1, max_length=1000, repr=False, description="The user's password.",
        examples=["!secret meter-password"],
    )  # fmt: skip
    authentication: Authentication = Field(
        Authentication.BASIC,
        description="How user and password are told: basic sends them with each request, digest never, and "
        "only once the server asks, which Shelly devices want.",
    )
    token: str | None = Field(
        None, min_length=1, max_length=8000, repr=False, description="Bearer token.",
        examples=["!secret meter-token"],
    )  # fmt: skip
    ca_file: str | None = Field(
        None, min_length=1, description="Certificates to trust instead of the system's (PEM).",
        examples=["meter-ca.pem"],
    )  # fmt: skip
    verify: Verify = Field(
        Verify.FULL,
        description="Whether the server's certificate is judged. none: anybody on the way can read and "
        "change everything, passwords included; ca_file with the server's own certificate is better.",
    )
    max_body: Annotated[Size, Field(ge=1024, le=MOST_BODY)] = Field(
        Bytes(1 << 20), description="Largest document, decompressed; 4MiB at most."
    )

    @field_validator("url")
    @classmethod
    def _usable_url(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
            (parts.hostname or "").encode("idna")
        except ValueError:
            good = False
        if not good or any(map(str.isspace, url)) or not url.isprintable():
            raise ValueError("needs an address that begins with http:// or https://")
        if "@" in parts.netloc:
            raise ValueError("a user in the address would be shown with it: use username and password")
        if parts.query or parts.fragment:
            raise ValueError("what follows ? or # belongs into the path of a group or tag")
        if parts.path.startswith("//"):
            raise ValueError("two slashes behind the host would name another one: write one")
        return url.rstrip("/")

    @field_validator("headers", "secret_headers")
    @classmethod
    def _usable_headers(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            if _HEADER.fullmatch(name) is None:
                raise ValueError(f"{name!r} is no name of a header")
            if hint := _OWN_HEADERS.get(name.lower()):
                raise ValueError(f"{name} cannot be set: {hint}")
            if len(value) > 8000 or not value.isprintable() or not value.isascii():
                raise ValueError(f"the value of {name} is not one line of ASCII")
        return headers

    @field_validator("token")
    @classmethod
    def _visible_token(cls, token: str | None) -> str | None:
        if token is not None and _VISIBLE.fullmatch(token[:2000]) is None:
            raise ValueError("a bearer token has no blanks, and nothing but ASCII")
        return token

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password go together")
        if self.username is not None and (self.token is not None or ":" in self.username):
            raise ValueError("give either token or username and password; a user's name has no colon")
        if self.authentication is Authentication.DIGEST and self.username is None:
            raise ValueError("digest needs username and password")
        if not self.is_tls and (self.ca_file is not None or self.verify is not Verify.FULL):
            raise ValueError("ca_file and verify are for https://")
        if self.ca_file is not None and self.verify is Verify.NONE:
            raise ValueError("verify: none looks at no certificate, so ca_file is of no use")
        return self

    @property
    def is_tls(self) -> bool:
        return self.url.startswith("https:")

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or (443 if self.is_tls else 80)

    def beside(self, directory: Path) -> Self:
        """With files relative to `directory`."""
        if self.ca_file is None:
            return self
        return self.model_copy(update={"ca_file": str(directory / self.ca_file)})


class HttpTag(TagSettings):
    """One value of a document."""

    address: str = Field(
        max_length=1000,
        description="Where the value stands: in JSON a pointer (/sensors/0/temp), in Prometheus' format a "
        'metric (`temp_celsius{room="a"}`), in text what stands around it (`temp={} C`), for a Shelly the '
        "name of a reading (power_total_watts).",
        examples=["/sensors/0/temp"],
    )
    type: ValueType = Field(ValueType.FLOAT64, description="Type of the value.")
    path: UrlPath | None = Field(
        None, description="Path of the document; absent: the group's.", examples=["/status.json"]
    )
    time: str | None = Field(
        None, max_length=1000, description="Pointer to the time of this value; absent: the group's.",
        examples=["/sensors/0/at"],
    )  # fmt: skip
    count: int = Field(
        1, ge=1, le=MAX_ELEMENTS, description="Number of values; more than one makes the tag an array."
    )

    @field_validator("path")
    @classmethod
    def _usable_path(cls, path: str | None) -> str | None:
        return path if path is None else check_path(path)

    @model_validator(mode="after")
    def _arrays_are_of_numbers(self) -> Self:
        if self.count > 1 and not self.type.size:
            raise ValueError(f"an array of {self.type} has no count: take type json")
        return self


class HttpGroup(GroupSettings):
    """Values that are polled together: one request for each path."""

    format: Format = Field(Format.JSON, description="What the documents are.")
    path: UrlPath | None = Field(
        None,
        description="Path of the document, with its query; it is put behind the connection's url.",
        examples=["/status.json?all=1"],
    )
    time: str | None = Field(
        None, max_length=1000,
        description="Pointer to the time of the values (JSON): ISO 8601, or seconds or milliseconds since "
        "1970. A time without an offset is UTC.",
        examples=["/time"],
    )  # fmt: skip
    tags: list[HttpTag] = Field(min_length=1, description="What is read.")

    @field_validator("path")
    @classmethod
    def _usable_path(cls, path: str | None) -> str | None:
        return path if path is None else check_path(path)

    @model_validator(mode="after")
    def _readable(self) -> Self:
        for time in filter(None, (self.time, *(tag.time for tag in self.tags))):
            if self.format is not Format.JSON:
                raise ValueError("time is a pointer into JSON; Prometheus' format brings its own times")
            check_pointer(time)
        for tag in self.tags:
            try:
                check_address(self.format, tag.address)
            except ValueError as error:
                raise ValueError(f"tag {tag.name}: {error}") from None
            if self.path_of(tag) is None:
                raise ValueError(f"tag {tag.name} has no path, and its group has none")
        return self

    def path_of(self, tag: HttpTag) -> str | None:
        if self.format is Format.SHELLY:
            return tag.path or self.path or "/rpc/Switch.GetStatus?id=0"
        return tag.path or self.path


class HttpConnection(ConnectionSettings):
    """A server that is polled over HTTP."""

    driver: Literal["http"] = Field("http", description="Protocol driver.")
    transport: HttpTransport = Field(description="How to reach it.")
    groups: list[HttpGroup] = Field(default_factory=list, description="What is polled, and how often.")

    @model_validator(mode="after")
    def _one_station(self) -> Self:
        for group in self.groups:
            if group.unit_id is not None:
                raise ValueError(f"group {group.name}: behind a server there are no units; remove unit_id")
        return self


def check_path(path: str) -> str:
    """Raises ValueError for what cannot be put behind a url."""
    if not path.startswith("/") or path.startswith("//"):
        raise ValueError(f"{path!r} is no path: it begins with one slash; the server stands in url")
    if any(map(str.isspace, path)) or not path.isprintable() or "#" in path:
        raise ValueError(f"{path!r} is no path: blanks are written %20, and nothing follows #")
    return path


assert parse_size("4MiB") == MOST_BODY
