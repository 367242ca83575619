"""The settings of the agent as frozen models. Drivers extend the connection's models in their rooms.

Every field carries a description, a default or an example, and its unit: the sample files, the
reference page and the editors' JSON Schema are generated from here.
"""

import re
from importlib.util import find_spec
from typing import Annotated, ClassVar, Final, Literal
from urllib.parse import urlsplit

from pydantic import (
    Field,
    SerializeAsAny,
    StringConstraints,
    field_validator,
    model_validator,
)

from edge_agent.config.base import Settings as Settings  # noqa: PLC0414 the way in which mypy takes it on
from edge_agent.config.hooks import HooksSettings
from edge_agent.config.listen import parse_loopback
from edge_agent.config.units import Bytes, Duration, Rate, Seconds, Size, at_least, between
from edge_agent.config.writes import WriteSettings
from edge_agent.wire.batch import MAX_COMPRESSED_BYTES
from edge_agent.wire.mqtt import OVERHEAD_BYTES, PREFIX, PREFIX_PATTERN
from edge_agent.wire.schema import ValueType

ID_PATTERN: Final = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"
Identifier = Annotated[str, StringConstraints(pattern=ID_PATTERN, max_length=51)]
# Who a device is, where somebody writes it into an address.
# Of an upload, with some hundred ranges of what is held.
_HEAD_BYTES: Final = 4_096
_WHO: Final = "the token identifies this device, and at a broker central.mqtt.user"
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


class Deadband(Settings):
    """When a value is new enough to be kept. At most one of absolute, percent and on_change."""

    absolute: float | None = Field(
        None, gt=0, allow_inf_nan=False, examples=[0.2],
        description="Smallest change to keep, in the tag's unit of measure.",
    )  # fmt: skip
    percent: float | None = Field(
        None, gt=0, le=100, description="Smallest change to keep, in percent of the last kept value.",
        examples=[1.0],
    )  # fmt: skip
    on_change: bool = Field(False, description="Keep every change, however small.")
    min_interval: Annotated[Duration, between("0s", "1d")] = Field(
        Seconds(0), description="Never keep values more often than this.", examples=["1s"]
    )
    max_interval: Annotated[Duration, between("10ms", "30d")] | None = Field(
        None, description="Keep a value at least this often, changed or not.", examples=["60s"]
    )

    @model_validator(mode="after")
    def _one_rule(self) -> "Deadband":
        rules = [self.absolute is not None, self.percent is not None, self.on_change]
        if sum(rules) > 1:
            raise ValueError("give one of absolute, percent and on_change")
        if self.max_interval is not None and self.max_interval < self.min_interval:
            raise ValueError("max_interval is shorter than min_interval")
        return self


class TagSettings(Settings):
    """One named point. Drivers add the address and what else their protocol needs."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=200)] = Field(
        description="Name of the tag; `zone[01..16]` stands for zone01 … zone16.", examples=["oil_temp"]
    )
    type: ValueType = Field(ValueType.UINT16, description="Type of the value in the PLC.")
    scale: float = Field(1.0, description="Value = raw × scale + offset.", allow_inf_nan=False)
    offset: float = Field(0.0, description="Value = raw × scale + offset.", allow_inf_nan=False)
    unit: str = Field("", max_length=50, description="Unit of measure.", examples=["°C"])
    enum: dict[int, str] = Field(
        default_factory=dict, description="Names of raw values.", examples=[{"0": "stop", "1": "run"}]
    )
    deadband: Deadband | None = Field(
        None, description="When a value is kept; absent: always.",
        examples=[{"absolute": 0.2, "max_interval": "60s"}],
    )  # fmt: skip

    @field_validator("name")
    @classmethod
    def _no_control_characters(cls, name: str) -> str:
        if _CONTROL.search(name):
            raise ValueError("control characters are not allowed in a name")
        return name

    @field_validator("scale")
    @classmethod
    def _scale_is_not_zero(cls, scale: float) -> float:
        if scale == 0:
            raise ValueError("a scale of 0 would lose every value")
        return scale

    @model_validator(mode="after")
    def _deadband_has_a_number(self) -> "TagSettings":
        band = self.deadband
        measured = band is not None and (band.absolute is not None or band.percent is not None)
        if measured and self.type in (ValueType.STRING, ValueType.JSON):
            raise ValueError(f"the deadband of a {self.type} is on_change: it is not a number")
        return self


class TransportSettings(Settings):
    """How to reach the PLC. Drivers extend it.

    takes_many: what is there serves any number of links, as a broker does; most PLCs serve one or a few.
    """

    takes_many: ClassVar[bool] = False

    timeout: Annotated[Duration, between("1ms", "5m")] = Field(
        Seconds(2), description="How long one request may take.", examples=["500ms"]
    )


class GroupSettings(Settings):
    """Tags of one unit that are polled together."""

    name: Identifier = Field(description="Name of the group within its connection.", examples=["fast"])
    interval: Annotated[Duration, between("10ms", "1d")] = Field(
        description="Time between two polls.", examples=["500ms"]
    )
    unit_id: int | None = Field(
        None, ge=0, le=255, description="Station behind the transport, where it is not the transport's.",
        examples=[7],
    )  # fmt: skip
    liveness: Annotated[Duration, between("100ms", "30d")] | None = Field(
        None,
        description="How long the group may bring nothing; then the link is built anew, after twice as long "
        "its values are stale, after three times an event is recorded. Default: 5 intervals, at least 30s.",
        examples=["60s"],
    )

    @model_validator(mode="after")
    def _liveness_leaves_room(self) -> "GroupSettings":
        if self.liveness is not None and self.liveness < 2 * self.interval:
            raise ValueError("liveness is shorter than two intervals: every late poll would count as silence")
        return self


class ConnectionSettings(Settings):
    """One transport to one PLC, server, broker or meter."""

    name: Identifier = Field(description="Name of the connection on this device.", examples=["press1"])
    driver: str = Field(description="Protocol driver.", examples=["modbus"])
    enabled: bool = Field(True, description="Whether the connection is polled at all.")


class AgentSettings(Settings):
    """Who this device is."""

    id: Identifier = Field(description="Device id at the centre.", examples=["press-shop-01"])
    labels: dict[str, str] = Field(
        default_factory=dict, description="Labels for searching and selecting devices.",
        examples=[{"site": "north", "line": "a", "company": "acme"}],
    )  # fmt: skip
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level logged.")
    runtime_dir: str | None = Field(
        None,
        description="Directory in memory (tmpfs) for the frame ring and the local socket. Default: "
        "$RUNTIME_DIRECTORY, else a directory of the user's under /run or /dev/shm.",
        examples=["/run/edge-agent"],
    )
    metrics_listen: str | None = Field(
        None, description="HOST:PORT on loopback where Prometheus may scrape /metrics. Default: nowhere.",
        examples=["127.0.0.1:9464"],
    )  # fmt: skip
    page_listen: str | None = Field(
        "127.0.0.1:8470",
        description="HOST:PORT on loopback where the agent's own page is; null: nowhere. A taken port does "
        "not stop the agent.",
    )

    @field_validator("metrics_listen", "page_listen")
    @classmethod
    def _loopback(cls, listen: str | None) -> str | None:
        if listen is not None:
            parse_loopback(listen)
        return listen


class BrokerSettings(Settings):
    """How the centre is reached through an MQTT broker, where `central.url` begins with mqtts://."""

    user: str | None = Field(
        None,
        min_length=1,
        description="Name at the broker; absent: the device's id, where there is a password.",
    )
    password: str | None = Field(
        None,
        min_length=1,
        repr=False,
        examples=["!secret mqtt-password"],
        description="Password of that user.",
    )
    cert_file: str | None = Field(
        None, examples=["mqtt.cert.pem"],
        description="The device's certificate (PEM), instead of a password; relative to the config file.",
    )  # fmt: skip
    key_file: str | None = Field(
        None, examples=["mqtt.key.pem"], description="Its private key (PEM); absent: it is in `cert_file`."
    )
    prefix: Annotated[str, StringConstraints(pattern=PREFIX_PATTERN)] = Field(
        PREFIX, description="First levels of all topics; `vexplor` has the names of Fleet Management."
    )
    max_packet: Annotated[Size, at_least("16KiB")] = Field(
        Bytes(1 << 20),
        description="Most bytes of a message. Set it to what the broker takes, where that is less: batches "
        "are made to fit.",
    )
    keepalive: Annotated[Duration, between("5s", "20m")] = Field(
        Seconds(15), description="A connection is given up after so long without a word, and a half."
    )

    @property
    def pair(self) -> list[str]:
        """The files of certificate and key."""
        return [name for name in (self.cert_file, self.key_file) if name is not None]

    @model_validator(mode="after")
    def _whole(self) -> "BrokerSettings":
        if self.key_file is not None and self.cert_file is None:
            raise ValueError("key_file: there is no cert_file that it belongs to")
        if self.user is not None and self.password is None and self.cert_file is None:
            raise ValueError("user: give its password, or a cert_file")
        return self


class CentralSettings(Settings):
    """Where the centre is. Without this section the agent works alone."""

    url: str = Field(
        description="Address of the centre, or mqtts:// and that of a broker which the centre listens to.",
        examples=["https://central.example.com", "mqtts://broker.example.com:8883"],
    )
    mqtt: BrokerSettings | None = Field(None, description="Of the broker, where `url` names one.")
    token: str | None = Field(
        None, min_length=1, repr=False, examples=["!secret central-token"],
        description="The device's credential, made by hand; used before any other. Absent: the one that "
        "`edge-agent enroll` got and the agent renews.",
    )  # fmt: skip
    enrol_token: str | None = Field(
        None, min_length=1, repr=False, examples=["!secret enrol-token"],
        description="Enrolment token, with which a device that has no credential gets one by itself.",
    )  # fmt: skip
    reenrol_after: Annotated[Duration, between("1s", "30d")] = Field(
        Seconds(3600), description="For how long the centre must have refused the stored credential before "
        "the device asks to be enrolled again.",
    )  # fmt: skip
    ca_file: str | None = Field(
        None, description="Certificates to trust instead of the system's (PEM); relative to the config file.",
        examples=["ca.pem"],
    )  # fmt: skip
    proxy: str | None = Field(None, description="HTTP proxy.", examples=["http://192.0.2.1:3128"], repr=False)
    heartbeat_interval: Annotated[Duration, between("1s", "1h")] = Field(
        Seconds(30), description="Time between two heartbeats."
    )
    config_interval: Annotated[Duration, between("1s", "1d")] = Field(
        Seconds(60), description="Time between two looks for a new config."
    )

    @property
    def batch_bytes(self) -> int:
        """That a batch may have so that a message carries it, together with the head of its upload."""
        if not self.url.startswith("mqtt"):
            return MAX_COMPRESSED_BYTES
        most = (self.mqtt or BrokerSettings()).max_packet - OVERHEAD_BYTES - _HEAD_BYTES
        return min(MAX_COMPRESSED_BYTES, most)

    @field_validator("url")
    @classmethod
    def _http_url(cls, url: str) -> str:
        if "@" in url:
            raise ValueError(f"an address with a user name in it: {_WHO}")
        checked = _checked_url(url, ("http", "https", "mqtt", "mqtts"))
        if checked.startswith("mqtt"):
            if urlsplit(checked).path:
                raise ValueError(
                    "a broker's address ends with its port; topics are set by central.mqtt.prefix"
                )
            if find_spec("aiomqtt") is None:
                raise ValueError("MQTT needs the library 'aiomqtt': pip install 'holdfast[mqtt]'")
        return checked

    @field_validator("proxy")
    @classmethod
    def _proxy_url(cls, proxy: str | None) -> str | None:
        return None if proxy is None else _checked_url(proxy, ("http",))

    @model_validator(mode="after")
    def _one_way(self) -> "CentralSettings":
        if self.url.startswith("mqtt") and self.proxy is not None:
            raise ValueError("proxy: a broker is reached without an HTTP proxy: take it out")
        return self


def _checked_url(url: str, schemes: tuple[str, ...]) -> str:
    """The address without a slash at its end."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, a bracket that is not closed
        good = False
    if not good or parts.query or parts.fragment or any(map(str.isspace, url)):
        raise ValueError(f"needs an address that begins with {' or '.join(f'{each}://' for each in schemes)}")
    return url.rstrip("/")


class BufferSettings(Settings):
    """The store-and-forward buffer."""

    path: str = Field("buffer.db", description="Database file; relative to the config file.")
    flush_interval: Annotated[Duration, between("50ms", "60s")] = Field(
        Seconds(1), description="Time between two commits. 10s spares SD cards.", examples=["1s", "10s"]
    )
    max_bytes: Annotated[Size, at_least("1MiB")] = Field(
        Bytes(2 << 30), description="Most that the buffer may use on disk."
    )
    min_free_bytes: Size = Field(Bytes(256 << 20), description="Free space to leave on the disk.")
    retain_delivered: Annotated[Duration, between("0s", "365d")] = Field(
        Seconds(86400), description="How long delivered batches stay, for trends and a restored centre."
    )
    catch_up_rate: Annotated[Rate, at_least("1KiB")] = Field(
        Bytes(2 << 20), description="Most that catching up may use of the network."
    )
    on_full: Literal["drop_oldest", "drop_newest"] = Field("drop_oldest", description="What goes when full.")


class RemoteSettings(Settings):
    """What the centre may change here."""

    manage: list[Literal["connections", "hooks", "central"]] = Field(
        default_factory=list, description="Sections that the centre may replace. Default: none.",
        examples=[["connections"]],
    )  # fmt: skip


class CommandSettings(Settings):
    """Which orders of the centre this device takes, and how. Takes effect with the next start."""

    concurrency: int = Field(4, ge=1, le=32, description="How many commands run at once.")
    allow: list[str] | None = Field(
        None, description="Types of commands that may run here; absent: all. An empty list: none.",
        examples=[["ping", "read_tags", "collect_logs"]],
    )  # fmt: skip
    poll: Literal["long", "heartbeat"] = Field(
        "long",
        description="`long`: a request is held open, and a command comes at once. `heartbeat`: it comes with "
        "the next heartbeat or upload, for links where an idle connection costs money.",
    )

    @field_validator("allow")
    @classmethod
    def _known_types(cls, allow: list[str] | None) -> list[str] | None:
        from edge_agent.wire.command_types import TYPES

        for name in allow or ():
            if name not in TYPES:
                raise ValueError(f"there is no command {name}; there are {', '.join(TYPES)}")
        return allow


class Document(Settings):
    """The whole file, with each connection already validated by its driver's model."""

    agent: AgentSettings
    central: CentralSettings | None = Field(None, description="The centre; absent: the agent works alone.")
    buffer: BufferSettings = Field(default_factory=BufferSettings)
    remote: RemoteSettings = Field(default_factory=RemoteSettings)
    commands: CommandSettings = Field(default_factory=CommandSettings)
    writes: WriteSettings = Field(default_factory=WriteSettings)
    hooks: HooksSettings = Field(default_factory=HooksSettings)
    secrets: dict[str, str] = Field(
        default_factory=dict, repr=False,
        description="Secrets that the centre's documents may name, as {secret: NAME}.",
        examples=[{"plc-password": "!secret plc-password"}],
    )  # fmt: skip
    connections: list[SerializeAsAny[ConnectionSettings]] = Field(
        default_factory=list, description="What is polled."
    )
