"""Builds what listens at a broker, where the settings name one."""

import hashlib
import ssl
from collections.abc import Callable, Coroutine
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from central_sync.api.route import Services
from central_sync.services.access.ratelimit import RateLimit
from central_sync.services.clock import Clock
from central_sync.services.devices.admission import Admission
from central_sync.services.devices.presence import Presence
from central_sync.services.uplinks import MqttFigures
from central_sync.settings import MqttSettings, Settings, SettingsError
from central_sync.store.registry import SqliteRegistry
from central_sync.store.sqlite import SqliteStore

_PORTS: Final = {"mqtt": 1883, "mqtts": 8883}


def mqtt_worker(
    settings: Settings,
    services: Services,
    store: SqliteStore,
    presence: Presence,
    figures: MqttFigures | None,
    clock: Clock,
) -> Callable[[], Coroutine[Any, Any, None]] | None:
    """To be supervised; None: no broker is named. Raises SettingsError."""
    if settings.mqtt is None or figures is None:
        return None
    check_mqtt(settings)
    from central_sync.mqtt.answering import Desk
    from central_sync.mqtt.listener import Broker, Listener

    url = urlsplit(settings.mqtt.url)
    secret = _secret(settings.mqtt)
    broker = Broker(
        url.hostname or "",
        url.port or _PORTS[url.scheme],
        settings.mqtt.user,
        _password(settings.mqtt),
        _tls(settings.mqtt),
        settings.mqtt.prefix,
        settings.mqtt.group or f"holdfast-{hashlib.sha256(b'holdfast group ' + secret).hexdigest()[:32]}",
    )
    desk = Desk(
        Admission(store.roll, SqliteRegistry(store, store.forget_device)),
        RateLimit(settings.rate_limits.devices, clock),
        services.ingest,
        services.devices,
        services.configs,
        services.scripts,
        services.desk,
    )
    return Listener(broker, desk, presence.gone, figures, clock).run


def check_mqtt(settings: Settings) -> None:
    """Raises SettingsError for what could never be used."""
    if settings.mqtt is None:
        return
    if find_spec("aiomqtt") is None:
        raise SettingsError("mqtt: the library 'aiomqtt' is missing: pip install 'holdfast[mqtt]'")
    _password(settings.mqtt)
    _tls(settings.mqtt)


def _password(mqtt: MqttSettings) -> str | None:
    return None if mqtt.password_file is None else _read(mqtt.password_file).decode().rstrip("\r\n")


def _secret(mqtt: MqttSettings) -> bytes:
    """What no device knows; nothing where the broker asks the centre for nothing."""
    file = mqtt.password_file or mqtt.key
    return b"" if file is None else _read(file)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise SettingsError(f"mqtt: {file} cannot be read: {error.strerror}") from error


def _tls(mqtt: MqttSettings) -> ssl.SSLContext | None:
    if urlsplit(mqtt.url).scheme != "mqtts":
        return None
    try:
        context = ssl.create_default_context(cafile=mqtt.ca_file and str(mqtt.ca_file))
        if mqtt.ca_file is not None:
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        if mqtt.cert is not None and mqtt.key is not None:
            context.load_cert_chain(mqtt.cert, mqtt.key)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"mqtt: ca_file, cert or key cannot be used: {error}") from error
    return context
