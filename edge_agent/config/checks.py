"""What no single model can see: names that collide, and what is allowed but unwise. Pure."""

import ipaddress
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from edge_agent.config.errors import Place, Problem
from edge_agent.config.models import ConnectionSettings, Document
from edge_agent.config.pins import must_pin, places, refusal
from edge_agent.config.translate import EMPTY_LIST
from edge_agent.config.tree import Spot, locate


def taken_names(root: Any, place: Place) -> list[Problem]:
    """Connections that are called like another before them."""
    return list(_repeated(locate(root, ("connections",), place), "connection"))


def connection_problems(connection: Spot, has_groups: bool) -> list[Problem]:
    """Groups and tags of one connection that share a name, and lists that are empty.

    connection: after the expansion of ranges. has_groups: its driver's model knows groups at all.
    """
    problems: list[Problem] = []
    groups = _inner(connection, "groups")
    if has_groups and not (isinstance(groups.value, list) and groups.value):
        problems.append(Problem(groups.place, groups.path, EMPTY_LIST))
    problems += _repeated(groups, "group")
    seen: dict[str, tuple[Spot, int]] = {}
    for index, group in enumerate(groups.value if isinstance(groups.value, list) else ()):
        tags = _inner(_item(groups, index), "tags")
        if has_groups and isinstance(group, dict) and not (isinstance(tags.value, list) and tags.value):
            problems.append(Problem(tags.place, tags.path, EMPTY_LIST))
        problems += _repeated(tags, "tag", seen)
    return problems


def _inner(outer: Spot, key: str) -> Spot:
    missing = not (isinstance(outer.value, dict) and key in outer.value)
    return locate(outer.value, (key,), outer.place, outer.path, missing)


def _item(items: Spot, index: int) -> Spot:
    return locate(items.value, (index,), items.place, items.path)


def _repeated(items: Spot, noun: str, seen: dict[str, tuple[Spot, int]] | None = None) -> Iterator[Problem]:
    """Places are looked up where a name is taken, and not for the many that are free."""
    seen = {} if seen is None else seen
    for index, item in enumerate(items.value if isinstance(items.value, list) else ()):
        name = item.get("name") if isinstance(item, dict) else None
        if not isinstance(name, str):
            continue
        if name not in seen:
            seen[name] = items, index
            continue
        first, spot = _item(*seen[name]), _inner(_item(items, index), "name")
        where = f"in {first.place}" if first.place.line else f"{first.path}"
        yield Problem(spot.place, spot.path, f"there is another {noun} named '{name}': {where}")


def warnings(document: Document, root: Any, place: Place) -> list[Problem]:
    """What works and is unwise. `root` is the tree that the document was made from."""
    return [
        *_central_warnings(document, root, place),
        *_connection_warnings(document, root, place),
    ]


def _central_warnings(document: Document, root: Any, place: Place) -> Iterator[Problem]:
    central = document.central
    if central is None:
        if document.remote.manage:
            spot = locate(root, ("remote", "manage"), place)
            yield Problem(spot.place, spot.path, "has no effect: there is no centre (central:)")
        return
    host = urlsplit(central.url).hostname or ""
    scheme = urlsplit(central.url).scheme
    if scheme in ("http", "mqtt") and not _is_loopback(host):
        spot = locate(root, ("central", "url"), place)
        shown = "the token" if scheme == "http" else "the password"
        text = f"{scheme}:// shows {shown} and all data to everybody on the way: use {scheme}s://"
        yield Problem(spot.place, spot.path, text)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _connection_warnings(document: Document, root: Any, place: Place) -> Iterator[Problem]:
    if not document.connections:
        spot = locate(root, ("connections",), place)
        yield Problem(spot.place, "connections", "nothing is polled: there is no connection")
    ends: dict[tuple[str, ...], ConnectionSettings] = {}
    for index, connection in enumerate(document.connections):
        if not connection.enabled:
            continue
        yield from _transport_doubts(connection, index, root, place)
        end = _far_end(connection)
        if not end:
            continue
        first = ends.setdefault(end, connection)
        if first is not connection:
            spot = locate(root, ("connections", index, "transport"), place)
            text = (
                f"'{first.name}' has the same far end ({':'.join(end)}): many devices take one link alone; "
                "stations behind one gateway are groups of one connection, each with its unit_id"
            )
            yield Problem(spot.place, spot.path, text)


def _transport_doubts(
    connection: ConnectionSettings, index: int, root: Any, place: Place
) -> Iterator[Problem]:
    """What a driver's transport finds unwise in itself."""
    doubts = getattr(getattr(connection, "transport", None), "doubts", tuple)
    for path, text in doubts():
        spot = locate(root, ("connections", index, "transport", *path), place)
        yield Problem(spot.place, spot.path, text)


def _far_end(connection: ConnectionSettings) -> tuple[str, ...]:
    """What a transport is connected to, in terms that most drivers' transports have. Empty where any number
    of links may be."""
    transport = getattr(connection, "transport", None)
    if getattr(transport, "takes_many", False):
        return ()
    values = (getattr(transport, name, None) for name in ("host", "port", "device"))
    return tuple(str(value).lower() for value in values if value is not None)


def write_problems(document: Document, root: Any, place: Place) -> Iterator[Problem]:
    """Entries of the allow-list of writes that can never be used as they stand.

    A tag that the local file does not have may come from the centre, where it may manage connections.
    """
    pinned = must_pin(document)
    found_places = places(document)
    for index, entry in enumerate(document.writes.allow):
        found = found_places.get(entry.tag)
        if found is None and pinned and entry.pin is not None:
            continue
        text = refusal(entry, found, must_pin=pinned)
        if text:
            key = ("tag",) if found is None else ()
            spot = locate(root, ("writes", "allow", index, *key), place)
            yield Problem(spot.place, spot.path, text)
