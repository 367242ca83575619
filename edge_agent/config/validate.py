"""From a tree to the document: every section and every connection is tried, all problems are kept. Pure."""

from collections.abc import Callable, Collection
from functools import cached_property
from typing import Any, TypeVar

from pydantic import ValidationError

from edge_agent.config.checks import connection_problems, taken_names
from edge_agent.config.errors import Place, Problem
from edge_agent.config.expand import Expander
from edge_agent.config.introspect import tags_have_step
from edge_agent.config.models import CentralSettings, ConnectionSettings, Document, Settings
from edge_agent.config.secrecy import masked, secret_values
from edge_agent.config.translate import EMPTY_LIST, Details, message
from edge_agent.config.tree import Spot, copied, locate
from edge_agent.contracts.errors import ConfigError

# From a driver's name to its connection's model; raises ConfigError for a name that is unknown.
SettingsLookup = Callable[[str], type[ConnectionSettings]]
_Model = TypeVar("_Model", bound=Settings)


class Validator:
    """Validates the parts of one tree.

    place: where a tree without places comes from. prefix: stands before every path. secrets: what no
    message may show, besides what stands under a secret's name.
    """

    def __init__(
        self,
        root: Any,
        place: Place,
        lookup: SettingsLookup,
        prefix: str = "",
        secrets: Collection[str] = (),
    ) -> None:
        self.problems: list[Problem] = []
        self._root = root
        self._place = place
        self._lookup = lookup
        self._prefix = prefix
        self._given_secrets = secrets

    @cached_property
    def _secrets(self) -> set[str]:
        """Looked for when there is something to say: the tree may be large."""
        return {*self._given_secrets, *secret_values(self._root)}

    def document(self) -> Document | None:
        """The whole document; None where there is a problem."""
        if not isinstance(self._root, dict):
            spot = locate(self._root, (), self._place)
            self._add(spot, "the document is not a mapping (key: value)")
            return None
        sections = copied(self._root)
        for key, value in self._root.items():
            # A section that is named and left empty is one that takes its defaults.
            if value is None or key == "connections":
                del sections[key]
        document = self._model(Document, sections, "")
        connections = self.connections() if self._root.get("connections") is not None else []
        if self.problems or document is None:
            return None
        return document.model_copy(update={"connections": connections})

    def connections(self) -> list[ConnectionSettings]:
        """The connections that are valid, each as its driver's model, ranges expanded."""
        if "connections" not in self._root:
            return []
        written = self._root["connections"]
        if not isinstance(written, list):
            spot = locate(self._root, ("connections",), self._place)
            self._add(spot, "needs a list: each connection begins with '- name:'")
            return []
        expander = Expander(self._place)
        made = [self._connection(index, expander) for index in range(len(written))]
        self._add_found(taken_names(self._root, self._place))
        return [connection for connection in made if connection is not None]

    def central(self, section: Any) -> CentralSettings | None:
        """A section `central` that is not all in the tree; None where it is not valid."""
        return self._model(CentralSettings, section, "central")

    def _connection(self, index: int, expander: Expander) -> ConnectionSettings | None:
        spot = locate(self._root, ("connections", index), self._place)
        item = spot.value
        if not isinstance(item, dict):
            self._add(spot, "needs a mapping (key: value)")
            return None
        driver = item.get("driver")
        at = locate(item, ("driver",), spot.place, spot.path, missing="driver" not in item)
        if not isinstance(driver, str):
            self._add(at, "needs the name of a driver" if "driver" in item else "is missing")
            return None
        try:
            settings = self._lookup(driver)
        except ConfigError as error:
            self._add(at, str(error))
            return None
        expanded = expander.connection(item, spot.path, tags_have_step(settings))
        self._add_found(expander.take_problems())
        connection = self._model(settings, expanded, spot.path)
        has_groups = "groups" in settings.model_fields
        self._add_found(connection_problems(spot._replace(value=expanded), has_groups))
        return connection

    def _model(self, model: type[_Model], data: dict[str, Any], path: str) -> _Model | None:
        try:
            return model.model_validate(data)
        except ValidationError as error:
            self._add_all(error.errors(include_url=False), model, data, path)
            return None

    def _add_all(self, errors: list[Any], model: type[Settings], data: dict[str, Any], path: str) -> None:
        found: dict[tuple[Place, str], tuple[Spot, list[str]]] = {}
        for error in errors:
            spot = self._spot(error, data, path)
            # What is wrong in all tags of a range is said once, of the first.
            key = spot.place, spot.keys if spot.place.line else spot.path
            first, words = found.setdefault(key, (spot, []))
            text = message(error, model, "column" if spot.place.cell else "key")
            # The members of a union complain one by one about the same value: that is one problem.
            if first.path == spot.path and text not in words:
                words.append(text)
        for spot, words in found.values():
            self._add(spot, "; or ".join(words))

    def _spot(self, error: Details, data: dict[str, Any], path: str) -> Spot:
        location, kind = error["loc"], error["type"]
        spot = locate(data, location, self._place, path, missing=kind == "missing")
        return spot._replace(place=spot.key_place) if kind == "extra_forbidden" else spot

    def _add_found(self, found: list[Problem]) -> None:
        """Adds what the checks found, except where a model has complained already."""
        known = {(problem.place, problem.path) for problem in self.problems}
        for problem in found:
            if (problem.place, self._prefix + problem.path) not in known:
                self._add(Spot(None, problem.path, problem.place, problem.place), problem.message)

    def _add(self, spot: Spot, text: str) -> None:
        path = self._prefix + spot.path
        if text == EMPTY_LIST and any(each.path.startswith(f"{path}[") for each in self.problems):
            return  # what it held was refused already
        cell = f", column {spot.place.cell}" if spot.place.cell else ""
        shown = masked(text, self._secrets, spot.value) + cell
        self.problems.append(Problem(spot.place, path, shown))
