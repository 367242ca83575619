"""How a Modbus connection reaches its stations: one model for each kind of transport."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, model_validator

from edge_agent.config.models import TransportSettings
from edge_agent.drivers.fields import HostName

TLS_PORT: Final = 802


class TransactionIds(StrEnum):
    CHECKED = "checked"
    IGNORED = "ignored"


class Parity(StrEnum):
    NONE = "none"
    EVEN = "even"
    ODD = "odd"


class _ModbusTransport(TransportSettings):
    unit_id: int = Field(1, ge=0, le=255, description="Station, where a group names no other.")


class _NetworkTransport(_ModbusTransport):
    host: HostName = Field(min_length=1, description="Host name or IP address.", examples=["192.0.2.10"])
    port: int = Field(502, ge=1, le=65535, description="Port.")


class TcpTransport(_NetworkTransport):
    """Modbus TCP."""

    type: Literal["tcp"] = Field("tcp", description="Modbus TCP; the type where none is given.")
    transaction_ids: TransactionIds = Field(
        TransactionIds.CHECKED,
        description="ignored: for gateways that do not echo them. The link is then dropped after any "
        "request without an answer, because a late reply could not be told apart.",
    )


class RtuOverTcpTransport(_NetworkTransport):
    """RTU frames over TCP, for serial gateways that pass bytes through."""

    type: Literal["rtu_over_tcp"] = Field("rtu_over_tcp", description="RTU frames through a TCP stream.")


class UdpTransport(_NetworkTransport):
    """Modbus over UDP: each datagram is one frame."""

    type: Literal["udp"] = Field("udp", description="Modbus frames in datagrams.")


class TlsTransport(_NetworkTransport):
    """Modbus/TCP Security. Files are relative to the config file."""

    type: Literal["tls"] = Field("tls", description="Modbus TCP inside of TLS.")
    port: int = Field(TLS_PORT, ge=1, le=65535, description="Port.")
    ca_file: str | None = Field(
        None, min_length=1, description="Certificates to trust instead of the system's (PEM).",
        examples=["plc-ca.pem"],
    )  # fmt: skip
    cert_file: str | None = Field(
        None, min_length=1, description="Certificate to show to the station, with its chain (PEM).",
        examples=["agent.cert.pem"],
    )  # fmt: skip
    key_file: str | None = Field(
        None, min_length=1, description="Key of cert_file, without a password (PEM); absent: in cert_file.",
        examples=["agent.key.pem"],
    )  # fmt: skip
    server_name: HostName | None = Field(
        None, min_length=1, description="Name in the station's certificate; absent: host.",
        examples=["press1.plant.example"],
    )  # fmt: skip

    @model_validator(mode="after")
    def _key_has_a_certificate(self) -> "TlsTransport":
        if self.key_file is not None and self.cert_file is None:
            raise ValueError("key_file needs cert_file: a key alone identifies nobody")
        return self

    def beside(self, directory: Path) -> "TlsTransport":
        """With files relative to `directory`."""
        files = {name: getattr(self, name) for name in ("ca_file", "cert_file", "key_file")}
        return self.model_copy(
            update={name: str(directory / file) for name, file in files.items() if file is not None}
        )


class SerialTransport(_ModbusTransport):
    """RTU on a serial port of this machine."""

    type: Literal["serial"] = Field("serial", description="RTU frames on a serial line.")
    port: str = Field(
        min_length=1, description="The serial port; a name in /dev/serial/by-id stays the same.",
        examples=["/dev/ttyUSB0"],
    )  # fmt: skip
    baud: int = Field(19_200, ge=300, le=4_000_000, description="Bits a second.")
    data_bits: Literal[8] = Field(8, description="Bits of a character; RTU has 8.")
    parity: Parity = Field(Parity.EVEN, description="Parity bit of a character.")
    stop_bits: Literal[1, 2] | None = Field(
        None, description="Stop bits of a character; absent: 1, and 2 without parity.", examples=[1]
    )
    rs485: bool = Field(
        False, description="Let the kernel's driver switch the direction of an RS-485 transceiver by RTS."
    )

    @property
    def character_bits(self) -> int:
        """Start bit to stop bits. Without parity the specification has a second stop bit (V1.02, 2.5.1)."""
        parity_bits = 0 if self.parity is Parity.NONE else 1
        return 1 + self.data_bits + parity_bits + self.stop_bits_used

    @property
    def stop_bits_used(self) -> int:
        if self.stop_bits is not None:
            return self.stop_bits
        return 2 if self.parity is Parity.NONE else 1


Transport = Annotated[
    TcpTransport | RtuOverTcpTransport | UdpTransport | TlsTransport | SerialTransport,
    Field(discriminator="type"),
]


def with_type(value: Any) -> Any:
    """A transport that names no type is TCP."""
    return {**value, "type": "tcp"} if isinstance(value, dict) and "type" not in value else value


def is_serial_line(transport: TransportSettings) -> bool:
    """Whether stations hear each other, so that unit 0 is everyone."""
    return isinstance(transport, SerialTransport | RtuOverTcpTransport)
