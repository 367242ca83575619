"""The centre's settings: central.yaml, and the flags that override it."""

import difflib
import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from central_sync.services.devices.health import DEFAULT_HEARTBEAT_SECONDS
from edge_agent.wire.mqtt import PREFIX, PREFIX_PATTERN

_DURATION: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_LISTEN: Final = re.compile(r"(?:\[([0-9a-fA-F:.%]+)\]|([^:\s\[\]]+)):([0-9]{1,5})")
_MQTT_FILES: Final = ("password_file", "ca_file", "cert", "key")


class SettingsError(Exception):
    """Refuse to start. The message is one line: where, what, what to do."""


def duration(value: object) -> float:
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"needs a duration with a unit such as 30s or 1m (got {value!r})")
    return float(match[1]) * _SECONDS[match[2]]


class TlsSettings(BaseModel):
    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    cert: Path = Field(description="Certificate chain (PEM).")
    key: Path = Field(description="Its private key (PEM).")


class EnrolmentSettings(BaseModel):
    """How devices come to be, see docs/enrolment.md."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    url: str | None = Field(
        None, description="Address that devices shall use; absent: the one that the operator used.",
        pattern=r"^https?://[^\s@]+$", examples=["https://central.example.com"],
    )  # fmt: skip
    ca_file: Path | None = Field(
        None, description="Certificate (PEM) that devices must meet; absent: the last one of `tls.cert`."
    )
    pending: bool = Field(False, description="Whether devices without a token may wait for an operator.")
    max_pending: int = Field(1_000, ge=1, le=100_000, description="How many may wait.")
    pending_life: Annotated[float, BeforeValidator(duration), Field(ge=1, le=2_592_000)] = Field(
        86_400.0, description="How long one may wait."
    )
    credential_life: Annotated[float, BeforeValidator(duration), Field(ge=1, le=315_360_000)] = Field(
        90 * 86_400.0, description="How long a credential is good; devices renew it at 80 % of that."
    )


class MqttSettings(BaseModel):
    """The broker through which devices may come, see docs/mqtt-uplink.md."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field(
        description="Address of the broker; mqtt:// on loopback alone.",
        pattern=r"^mqtts?://[^\s@/]+$", examples=["mqtts://broker.example.com:8883"],
    )  # fmt: skip
    user: str | None = Field(
        None, min_length=1, description="The centre's name at the broker.", examples=["centre"]
    )
    password_file: Path | None = Field(
        None, description="File with its password.", examples=["mqtt-password"]
    )
    ca_file: Path | None = Field(
        None, description="Certificates to trust instead of the system's (PEM).", examples=["ca.pem"]
    )
    cert: Path | None = Field(None, description="The centre's certificate (PEM), instead of a password.")
    key: Path | None = Field(None, description="Its private key (PEM).")
    prefix: str = Field(
        PREFIX, pattern=PREFIX_PATTERN,
        description="First levels of all topics; `vexplor` has the names of Fleet Management.",
    )  # fmt: skip
    group: str | None = Field(
        None, pattern=r"^[A-Za-z0-9._-]{8,100}$",
        description="Name of the shared subscription, a secret like the password: a device that knows it "
        "could take others' messages away. Absent: made of the password or the key.",
    )  # fmt: skip

    @model_validator(mode="after")
    def _whole(self) -> "MqttSettings":
        url = urlsplit(self.url)
        if not url.hostname:
            raise ValueError("url needs mqtts://HOST:PORT")
        if url.scheme == "mqtt" and not _is_loopback(url.hostname):
            raise ValueError(f"url: {self.url} is not encrypted and not loopback: use mqtts://")
        if (self.cert is None) != (self.key is None):
            raise ValueError("cert and key belong together")
        if self.password_file is not None and self.user is None:
            raise ValueError("password_file: name its user")
        return self


class SessionSettings(BaseModel):
    """How long people stay logged in."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    idle: Annotated[float, BeforeValidator(duration), Field(ge=60, le=2_592_000)] = Field(
        28_800.0, description="A session ends after so long without a request."
    )
    lifetime: Annotated[float, BeforeValidator(duration), Field(ge=60, le=31_536_000)] = Field(
        604_800.0, description="And after so long at all."
    )


Age = Annotated[float, BeforeValidator(duration), Field(ge=3_600, le=3_155_760_000)]


class RetentionSettings(BaseModel):
    """How long things are kept; absent: for ever, except where a default is named. At least an hour."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    samples: Age | None = Field(
        None, description="Batches, by their arrival. What was received stays known.", examples=["90d"]
    )
    events: Age | None = Field(
        None, description="Events of devices; of each at most 10,000 are kept anyway.", examples=["400d"]
    )
    heartbeats: Age | None = Field(86_400.0, description="The series of heartbeats, one each half minute.")
    commands: Age | None = Field(
        90 * 86_400.0, description="Commands that have ended, with their output and files."
    )
    audit: Age | None = Field(
        None, description="Entries of the audit trail; a signed anchor stands for them.", examples=["1095d"]
    )


Rate = Annotated[float, Field(gt=0, le=1_000_000)]


class RateSettings(BaseModel):
    """Requests a second that each may make in the long run; what 20 s earn may come at once."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    devices: Rate = Field(200.0, description="Of each device.")
    people: Rate = Field(100.0, description="Of each user and each API token.")
    addresses: Rate = Field(
        50.0, description="Of each address: only those that are refused, and those that anybody may make."
    )


class Settings(BaseModel):
    """All of it is optional: without a file the centre listens on loopback alone."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    data: Path = Field(Path("central-data"), description="Directory of the database.")
    listen: str = Field("127.0.0.1:8080", description="Address to listen on; port 0 takes a free one.")
    tls: TlsSettings | None = Field(None, description="Needed where the address is not loopback.")
    behind_proxy: str | None = Field(
        None, description="Network of the TLS proxy in front; peers outside it are refused.",
        examples=["192.0.2.0/28"],
    )  # fmt: skip
    heartbeat_interval: Annotated[float, BeforeValidator(duration)] | None = Field(
        None, description="Asked of every agent; absent: theirs, taken as 30s. Three missed ones are offline."
    )
    enrolment: EnrolmentSettings = Field(EnrolmentSettings(), description="How devices enrol.")
    mqtt: MqttSettings | None = Field(None, description="A broker beside HTTP; absent: none.")
    config_versions: int = Field(
        100, ge=1, le=10_000,
        description="Newest versions kept of each device's config, beside the desired and the applied one.",
    )  # fmt: skip
    agent_command: list[str] | None = Field(
        None, min_length=1, examples=[["/opt/holdfast/bin/edge-agent"]],
        description="The edge-agent that checks configs and tries scripts; absent: this installation's.",
    )  # fmt: skip
    sessions: SessionSettings = Field(SessionSettings(), description="How long people stay logged in.")
    rate_limits: RateSettings = Field(RateSettings(), description="How often somebody may ask.")
    retention: RetentionSettings = Field(RetentionSettings(), description="How long things are kept.")
    access_log: Literal["all", "changes", "off"] = Field(
        "changes",
        description="Which requests get a line in the log: all; changes, refusals and failures; or none.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level logged.")

    @property
    def address(self) -> tuple[str, int]:
        match = _LISTEN.fullmatch(self.listen)
        assert match is not None
        return match[1] or match[2], int(match[3])

    @property
    def proxies(self) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
        return None if self.behind_proxy is None else ipaddress.ip_network(self.behind_proxy)

    @property
    def heartbeat_seconds(self) -> float:
        return self.heartbeat_interval or DEFAULT_HEARTBEAT_SECONDS

    @model_validator(mode="after")
    def _safe_by_default(self) -> "Settings":
        match = _LISTEN.fullmatch(self.listen)
        if match is None or int(match[3]) > 65_535:
            raise ValueError("listen needs HOST:PORT, such as 127.0.0.1:8080 or [::1]:8080")
        if self.behind_proxy is not None:
            try:
                network = ipaddress.ip_network(self.behind_proxy)
            except ValueError as error:
                raise ValueError(f"behind_proxy needs a network such as 192.0.2.0/28 ({error})") from error
            if network.prefixlen == 0:
                raise ValueError(
                    f"behind_proxy: {network} is everybody, and not all they send is encrypted: "
                    "name the proxy's own network, such as 192.0.2.0/28"
                )
        if self.heartbeat_interval is not None and not 0.1 <= self.heartbeat_interval <= 3600:
            raise ValueError("heartbeat_interval is between 100ms and 1h")
        if not _is_loopback(match[1] or match[2]) and self.tls is None and self.behind_proxy is None:
            raise ValueError(
                f"{self.listen} is not loopback: give --tls-cert and --tls-key, or --behind-proxy CIDR "
                "where a proxy does TLS"
            )
        return self


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def load_settings(path: Path | None, overrides: dict[str, Any]) -> Settings:
    """The file's settings, with the overrides that are not None on top. Raises SettingsError."""
    values: dict[str, Any] = {}
    places: dict[str, str] = {}
    if path is not None:
        values, places = _read(path)
        if isinstance(values.get("data"), str):
            values["data"] = path.parent / values["data"]
        tls = values.get("tls")
        if isinstance(tls, dict):
            values["tls"] = {k: path.parent / v if isinstance(v, str) else v for k, v in tls.items()}
        mqtt = values.get("mqtt")
        if isinstance(mqtt, dict):
            values["mqtt"] = {
                k: path.parent / v if k in _MQTT_FILES and isinstance(v, str) else v for k, v in mqtt.items()
            }
        enrolment = values.get("enrolment")
        if isinstance(enrolment, dict) and isinstance(enrolment.get("ca_file"), str):
            values["enrolment"] = {**enrolment, "ca_file": path.parent / enrolment["ca_file"]}
    values |= {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsError(_explain(error, places, path)) from error


def _read(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The document, and for each dotted key where it stands: `file:line:column`."""
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        document = yaml.safe_load(text)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise SettingsError(f"{place}: not YAML: {getattr(error, 'problem', error)}") from error
    if document is None:
        return {}, {}
    if not isinstance(document, dict):
        raise SettingsError(f"{path}:1:1: must be a mapping of settings")
    places: dict[str, str] = {}
    _note_places(node, (), places, path)
    return document, places


def _note_places(node: Any, at: tuple[str, ...], places: dict[str, str], path: Path) -> None:
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        name = (*at, str(key.value))
        places[".".join(name)] = f"{path}:{key.start_mark.line + 1}:{key.start_mark.column + 1}"
        _note_places(value, name, places, path)


def _explain(error: ValidationError, places: dict[str, str], path: Path | None) -> str:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(name, Settings.model_fields, 1)
        message = f"unknown setting{f', did you mean {near[0]}?' if near else ''}"
    place = places.get(name) or (str(path) if path else "settings")
    return f"{place}: {name + ': ' if name else ''}{message}"
