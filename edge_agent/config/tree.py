"""Plain data that remembers where it was written: what the reader makes and validation takes.

`PlacedMap` and `PlacedList` are a dict and a list, so that pydantic reads them as they are; the places
are looked up when something is wrong, and cost nothing until then.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from edge_agent.config.errors import Place


class PlacedMap(dict[str, Any]):
    """A mapping; `at` has the places of each key and of its value."""

    __slots__ = ("at", "place")

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place = place
        self.at: dict[str, tuple[Place, Place]] = {}

    def put(self, key: str, value: Any, at: tuple[Place, Place]) -> None:
        self[key] = value
        self.at[key] = at

    def where(self, key: str) -> tuple[Place, Place] | None:
        """The places of a key and of its value; None where nobody wrote it."""
        return self.at.get(key)

    def twin(self) -> "PlacedMap":
        """A shallow copy that shares the places: it is not to get keys of its own."""
        copy = PlacedMap(self.place)
        copy.update(self)
        copy.at = self.at
        return copy


class PlacedList(list[Any]):
    """A list; `at` has the place of each item, `origins` its index in the document where that differs."""

    __slots__ = ("at", "origins", "place")

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place = place
        self.at: list[Place] = []
        self.origins: Sequence[int] = ()

    def add(self, value: Any, at: Place) -> None:
        self.append(value)
        self.at.append(at)


class SecretName(NamedTuple):
    """What `!secret` asks for: stands in the tree until it is looked up."""

    name: str


class Spot(NamedTuple):
    """What `locate` finds: a value, its path for people, and the places of its key and of itself.

    keys: the path without the lists' items: the same for all tags that one line stands for.
    """

    value: Any
    path: str
    key_place: Place
    place: Place
    keys: str = ""


Location = Sequence[int | str]


def locate(root: Any, location: Location, place: Place, path: str = "", missing: bool = False) -> Spot:
    """Follows pydantic's location into the tree.

    place, path: where the root is; the place is for trees that have none. missing: the last element is
    a key that is not there; the spot is then that of the mapping it should be in. Other elements that
    the data does not have (pydantic names the members of a union there) are passed over.
    """
    spot = Spot(root, path, getattr(root, "place", place), getattr(root, "place", place))
    for element in location:
        value = spot.value
        if isinstance(value, dict) and element in value:
            name = str(element)
            both = value.where(name) if isinstance(value, PlacedMap) else None
            key_place, value_place = both or (spot.place, spot.place)
            spot = Spot(value[name], join(spot.path, name), key_place, value_place, join(spot.keys, name))
        elif isinstance(value, list) and isinstance(element, int) and element < len(value):
            item, index, at = value[element], element, spot.place
            if isinstance(value, PlacedList):
                at = value.at[element]
                index = value.origins[element] if value.origins else element
            spot = Spot(item, f"{spot.path}[{label(item, index)}]", at, at, spot.keys)
    if missing and location:
        name = str(location[-1])
        return Spot(None, join(spot.path, name), spot.place, spot.place, join(spot.keys, name))
    return spot


def join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def label(item: Any, index: int) -> str:
    """How a list's item is called: by its name where it has one."""
    name = item.get("name") if isinstance(item, dict) else None
    return name if isinstance(name, str) and name and name.isprintable() else str(index)


def copied(value: dict[str, Any]) -> dict[str, Any]:
    """A shallow copy that knows its places."""
    return value.twin() if isinstance(value, PlacedMap) else dict(value)


def containers(root: Any) -> Iterator[dict[str, Any] | list[Any]]:
    """Each mapping and each list once, however often aliases repeat it."""
    seen: set[int] = set()
    todo = [root]
    while todo:
        value = todo.pop()
        if not isinstance(value, dict | list) or id(value) in seen:
            continue
        seen.add(id(value))
        yield value
        todo.extend(value.values() if isinstance(value, dict) else value)
