"""How a connection to an OPC UA server is secured: `transport.security`. Imports no protocol library."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final, Self

from pydantic import Field, PrivateAttr, model_validator

from edge_agent.config.models import Settings, TransportSettings

STORE_NAME: Final = "pki"
_FILES: Final = ("cert_file", "key_file", "user_cert_file", "user_key_file")


class Policy(StrEnum):
    NONE = "none"
    BASIC256SHA256 = "basic256sha256"
    AES128_SHA256_RSAOAEP = "aes128_sha256_rsaoaep"
    AES256_SHA256_RSAPSS = "aes256_sha256_rsapss"


class Mode(StrEnum):
    SIGN = "sign"
    SIGN_AND_ENCRYPT = "sign_and_encrypt"


class Trust(StrEnum):
    LIST = "list"
    NONE = "none"


class ClearText(StrEnum):
    REFUSE = "refuse"
    ALLOW = "allow"


class Flaw(StrEnum):
    """What may be wrong with a certificate that is trusted."""

    TIME = "time"
    HOST_NAME = "host_name"
    APPLICATION_URI = "application_uri"
    USAGE = "usage"


class SecuritySettings(Settings):
    """Encryption, who the agent is, and which server it takes. Files are relative to the config file."""

    policy: Policy = Field(
        Policy.NONE,
        description="Security policy of the endpoint. none: everything is in the clear, and nobody knows who "
        "the server is.",
        examples=["basic256sha256"],
    )
    mode: Mode = Field(
        Mode.SIGN_AND_ENCRYPT,
        description="Whether messages are only protected against changes (sign) or also against being read. "
        "Without a policy it has no meaning.",
    )
    user: str | None = Field(
        None, min_length=1, description="User at the server, with `password`; absent: anonymous.",
        examples=["holdfast"],
    )  # fmt: skip
    password: str | None = Field(
        None, min_length=1, repr=False, description="The user's password.", examples=["!secret plc-password"]
    )
    clear_text: ClearText = Field(
        ClearText.REFUSE,
        description="allow: the password may travel unencrypted where the server wants it so and the link is "
        "not encrypted. Everybody on the way can read it then.",
    )
    user_cert_file: str | None = Field(
        None, min_length=1, description="Certificate that is the user's login (PEM or DER).",
        examples=["operator.cert.pem"],
    )  # fmt: skip
    user_key_file: str | None = Field(
        None, min_length=1, description="Key of user_cert_file, without a password (PEM or DER).",
        examples=["operator.key.pem"],
    )  # fmt: skip
    cert_file: str | None = Field(
        None, min_length=1,
        description="The agent's own application certificate (PEM or DER), such as one of the plant's "
        "authority; its alternative names have an application URI. Absent: one that the agent makes itself "
        "(pki/own beside the buffer's database).",
        examples=["agent.cert.pem"],
    )  # fmt: skip
    key_file: str | None = Field(
        None, min_length=1, description="Key of cert_file, without a password (PEM or DER).",
        examples=["agent.key.pem"],
    )  # fmt: skip
    trust: Trust = Field(
        Trust.LIST,
        description="list: only servers whose certificate, or its authority's, was accepted "
        "(`edge-agent opcua trust`). none: any server, so that one who sits between can read and change all.",
    )
    tolerate: list[Flaw] = Field(
        default_factory=list, description="Flaws that a trusted certificate may have all the same.",
        examples=[["time"]],
    )  # fmt: skip
    _store: Path | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _fits_together(self) -> "SecuritySettings":
        if (self.user_cert_file is None) != (self.user_key_file is None):
            raise ValueError("user_cert_file and user_key_file are given together")
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file are given together")
        if self.password is not None and self.user is None:
            raise ValueError("a password needs its user")
        if self.user is not None and self.user_cert_file is not None:
            raise ValueError("a login is either user and password or user_cert_file: give one of them")
        return self

    @property
    def is_secured(self) -> bool:
        return self.policy is not Policy.NONE

    @property
    def is_encrypted(self) -> bool:
        return self.is_secured and self.mode is Mode.SIGN_AND_ENCRYPT

    @property
    def needs_certificates(self) -> bool:
        """Whether both sides show certificates: a password, too, is encrypted for the server's."""
        return self.is_secured or self.password is not None or self.user_cert_file is not None

    @property
    def store(self) -> Path:
        """Where the agent's own certificate and the trust lists are."""
        return Path(STORE_NAME) if self._store is None else self._store

    def beside(self, directory: Path) -> "SecuritySettings":
        """With files relative to `directory`."""
        named = {name: getattr(self, name) for name in _FILES}
        return self.model_copy(
            update={name: str(directory / file) for name, file in named.items() if file is not None}
        )

    def kept_in(self, state: Path) -> "SecuritySettings":
        """With certificates kept below `state`, the directory of the buffer's database."""
        settled = self.model_copy()
        settled._store = state / STORE_NAME
        return settled

    def doubts(self) -> Sequence[tuple[tuple[str, ...], str]]:
        """What is allowed but unwise, by the path of the setting below this section."""
        found: list[tuple[tuple[str, ...], str]] = []
        if self.password is not None and not self.is_encrypted:
            found.append(self._password_doubt())
        if self.trust is Trust.NONE and self.needs_certificates:
            text = "any server is taken: one who sits between can read and change everything"
            found.append((("trust",), text))
        if self.tolerate and self.trust is Trust.LIST:
            flaws = ", ".join(self.tolerate)
            found.append((("tolerate",), f"certificates are taken in spite of their {flaws}"))
        return found

    def _password_doubt(self) -> tuple[tuple[str, ...], str]:
        if self.clear_text is ClearText.ALLOW:
            return ("clear_text",), (
                "the link is not encrypted: everybody on the way can read the password; "
                "set policy and mode: sign_and_encrypt"
            )
        return ("user",), (
            "the link is not encrypted: the password is sent only if the server takes it encrypted, and what "
            "is read and written is open to everybody on the way; set policy and mode: sign_and_encrypt"
        )


class SecuredTransport(TransportSettings):
    """A transport with a section `security`."""

    security: SecuritySettings = Field(
        default_factory=SecuritySettings,
        description="Encryption and logins; absent: everything in the clear, and anonymous.",
    )

    def beside(self, directory: Path) -> Self:
        """With files relative to `directory`."""
        return self.model_copy(update={"security": self.security.beside(directory)})

    def kept_in(self, state: Path) -> Self:
        """With certificates kept below `state`."""
        return self.model_copy(update={"security": self.security.kept_in(state)})

    def doubts(self) -> Sequence[tuple[tuple[str, ...], str]]:
        """What is allowed but unwise, by the path of the setting below the transport."""
        return [(("security", *path), text) for path, text in self.security.doubts()]
