"""How an MQTT connection reaches its broker."""

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import BeforeValidator, Field, model_validator

from edge_agent.config.models import Settings, TransportSettings
from edge_agent.config.units import Duration, Seconds, between

PORT: Final = 1883
TLS_PORT: Final = 8883


class Session(StrEnum):
    CLEAN = "clean"
    PERSISTENT = "persistent"


def _version_text(value: Any) -> Any:
    """In YAML `5` is a number."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


class TlsSettings(Settings):
    """Files are relative to the config file."""

    ca_file: str | None = Field(
        None, min_length=1, description="Certificates to trust instead of the system's (PEM).",
        examples=["broker-ca.pem"],
    )  # fmt: skip
    cert_file: str | None = Field(
        None, min_length=1, description="Certificate to show to the broker, with its chain (PEM).",
        examples=["agent.cert.pem"],
    )  # fmt: skip
    key_file: str | None = Field(
        None, min_length=1, description="Key of cert_file, without a password (PEM); absent: in cert_file.",
        examples=["agent.key.pem"],
    )  # fmt: skip

    @model_validator(mode="after")
    def _key_has_a_certificate(self) -> "TlsSettings":
        if self.key_file is not None and self.cert_file is None:
            raise ValueError("key_file needs cert_file: a key alone identifies nobody")
        return self


class MqttTransport(TransportSettings):
    """The broker, and who the agent is to it."""

    takes_many: ClassVar[bool] = True

    host: str = Field(min_length=1, max_length=253, description="Host name or IP address of the broker.",
                      examples=["broker.plant.example"])  # fmt: skip
    port: int | None = Field(
        None, ge=1, le=65535, description=f"Port; absent: {PORT}, and {TLS_PORT} with tls.", examples=[1883]
    )
    tls: TlsSettings | None = Field(
        None, description="With it the link is TLS 1.2 or later, and the broker's certificate must be of a "
        "trusted authority and name the host. `{}`: the system's authorities.",
        examples=[{"ca_file": "broker-ca.pem"}],
    )  # fmt: skip
    username: str | None = Field(None, min_length=1, description="User name.", examples=["press-shop"])
    password: str | None = Field(
        None, min_length=1, repr=False, description="Password.", examples=["!secret mqtt-password"]
    )
    client_id: str | None = Field(
        None, min_length=1, max_length=128,
        description="Who the agent is to the broker, which keeps one link for each. Absent: the broker "
        "gives one. A persistent session needs it.", examples=["holdfast-press-shop-01"],
    )  # fmt: skip
    version: Annotated[Literal["3.1.1", "5"], BeforeValidator(_version_text)] = Field(
        "5", description="Protocol version; 3.1.1 for brokers that know no other."
    )
    keepalive: Annotated[Duration, between("1s", "1h")] = Field(
        Seconds(30), description="A link over which nothing came for so long is asked whether it lives, and "
        "given up where the answer takes as long again.",
    )  # fmt: skip
    session: Session = Field(
        Session.CLEAN,
        description="persistent: the broker keeps QoS 1 and 2 messages while the agent is away, for as long "
        "as session_expiry says, and as many as the broker is configured for.",
    )
    session_expiry: Annotated[Duration, between("1s", "365d")] = Field(
        Seconds(86400), description="How long the broker keeps a persistent session (version 5; with 3.1.1 "
        "that is the broker's to say).",
    )  # fmt: skip

    @model_validator(mode="after")
    def _fits_together(self) -> "MqttTransport":
        if self.password is not None and self.username is None:
            raise ValueError("password needs username")
        if self.session is Session.PERSISTENT and self.client_id is None:
            raise ValueError("a persistent session needs a client_id, by which the broker finds it again")
        return self

    @property
    def used_port(self) -> int:
        if self.port is not None:
            return self.port
        return PORT if self.tls is None else TLS_PORT

    def doubts(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """What is unwise: where in the transport, and why."""
        if self.password is not None and self.tls is None:
            yield ("password",), "without tls the password and all values can be read on their way: give tls"

    def beside(self, directory: Path) -> "MqttTransport":
        """With files relative to `directory`."""
        if self.tls is None:
            return self
        files = {name: file for name, file in self.tls.model_dump().items() if file is not None}
        tls = self.tls.model_copy(update={name: str(directory / file) for name, file in files.items()})
        return self.model_copy(update={"tls": tls})
