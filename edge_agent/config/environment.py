"""The environment names of the agents that Holdfast follows: used where the file does not say itself. Pure.

| name | stands for |
| --- | --- |
| DEVICE_ID | agent.id |
| COMPANY_CODE | agent.labels.company |
| FLEET_API_URL | central.url, without a trailing /api/fleet; the token is then `!secret central-token` |
| HEARTBEAT_INTERVAL | central.heartbeat_interval, in seconds |
| MQTT_BROKER_URL | nothing: a warning that names central.url |
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from edge_agent.config.errors import Place, Problem
from edge_agent.config.tree import PlacedMap

TOKEN_SECRET: Final = "central-token"  # noqa: S105 the secret's name
_BARE_SECONDS: Final = re.compile(r"[0-9]+(\.[0-9]+)?")


def apply(
    root: PlacedMap, environ: Mapping[str, str], secret: Callable[[str, str, Place], str | None]
) -> list[Problem]:
    """Adds what the environment says to a tree that is read and resolved. Returns warnings.

    secret: (name, path, place) → the secret's value; None where it has reported that there is none.
    Sections that are not mappings are left to validation, which says so.
    """
    values = {name: environ.get(name, "").strip() for name in _NAMES}
    if values["DEVICE_ID"]:
        _put(root, ("agent", "id"), values["DEVICE_ID"], "DEVICE_ID")
    if values["COMPANY_CODE"]:
        _put(root, ("agent", "labels", "company"), values["COMPANY_CODE"], "COMPANY_CODE")
    if values["FLEET_API_URL"]:
        url = values["FLEET_API_URL"].rstrip("/").removesuffix("/api/fleet")
        _put(root, ("central", "url"), url, "FLEET_API_URL")
        central = root.get("central")
        if isinstance(central, PlacedMap) and "token" not in central:
            token = secret(TOKEN_SECRET, "central.token", _place("FLEET_API_URL"))
            _put(root, ("central", "token"), token, "FLEET_API_URL")
    if values["HEARTBEAT_INTERVAL"] and root.get("central") is not None:
        interval = values["HEARTBEAT_INTERVAL"]
        seconds = f"{interval}s" if _BARE_SECONDS.fullmatch(interval) else interval
        _put(root, ("central", "heartbeat_interval"), seconds, "HEARTBEAT_INTERVAL")
    if values["MQTT_BROKER_URL"]:
        text = (
            "is not taken over: where the centre listens to that broker, give it as central.url (mqtts://…)"
        )
        return [Problem(_place("MQTT_BROKER_URL"), "", text)]
    return []


def of_agent(environ: Mapping[str, str]) -> Mapping[str, str]:
    """What it says of the section `agent`."""
    return {name: environ[name] for name in ("DEVICE_ID", "COMPANY_CODE") if name in environ}


_NAMES: Final = ("DEVICE_ID", "COMPANY_CODE", "FLEET_API_URL", "HEARTBEAT_INTERVAL", "MQTT_BROKER_URL")


def _place(name: str) -> Place:
    return Place(f"environment {name}")


def _put(root: PlacedMap, path: tuple[str, ...], value: Any, name: str) -> None:
    place = _place(name)
    section = root
    for key in path[:-1]:
        if section.get(key) is None:
            section.put(key, PlacedMap(place), (place, place))
        inner = section[key]
        if not isinstance(inner, PlacedMap):
            return
        section = inner
    if path[-1] not in section:
        section.put(path[-1], value, (place, place))
