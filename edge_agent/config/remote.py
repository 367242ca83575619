"""The centre's config over the local one: sections that the local file hands over, replaced whole. Pure.

A remote document knows no variables, no `!secret` and no include: only `{"secret": NAME}`, which is
looked up in the local `secrets:` map. Without that, a taken-over centre could read the device's files.
"""

from collections.abc import Mapping
from typing import Any, Final

from edge_agent.config.errors import ConfigErrors, Place, Problem, in_order
from edge_agent.config.load import Loaded
from edge_agent.config.models import CentralSettings, Document
from edge_agent.config.scripts import name_taken
from edge_agent.config.translate import closest
from edge_agent.config.tree import join, label
from edge_agent.config.validate import SettingsLookup, Validator
from edge_agent.wire.messages import ConfigEnvelope
from edge_agent.wire.scripts import HOOKS_CONNECTION

PREFIX: Final = "remote:"
# What this version can take from a centre.
SECTIONS: Final = ("connections", "central")
_ENCRYPTED: Final = ("https://", "mqtts://")
# What a connection has of these goes to the centre with its values: no secret may stand there.
_TOLD: Final = frozenset({"name", "driver", "groups"})
# JSON parsers stop far below this; it keeps the recursion here from being the limit.
_MAX_DEPTH: Final = 100


def merge_remote(loaded: Loaded, envelope: ConfigEnvelope, lookup: SettingsLookup) -> Document:
    """The document that runs with the centre's `envelope` over the local file.

    Raises ConfigErrors, with paths that begin with `remote:`, for sections that `remote.manage` does not
    name, for unknown secrets and for all that `load` would refuse in a file.
    """
    place = Place(f"centre config version {envelope.version}")
    local = loaded.document
    problems = _unmanaged(envelope, local, place)
    secrets = Secrets(local.secrets, place)
    tree = {name: secrets.put_into(value, name) for name, value in envelope.sections.items()}
    problems += secrets.problems
    validator = Validator(tree, place, lookup, PREFIX, local.secrets.values())
    connections = validator.connections()
    if (loaded.scripts or "hooks" in local.remote.manage) and any(
        each.name == HOOKS_CONNECTION for each in connections
    ):
        problems.append(Problem(place, f"{PREFIX}connections[{HOOKS_CONNECTION}].name", name_taken()))
    central = local.central
    if "central" in tree and "central" in local.remote.manage:
        problems += central_problems(envelope.sections["central"], place, PREFIX)
        if central is None:
            text = "this device has no centre of its own that could hand over to another"
            problems.append(Problem(place, f"{PREFIX}central", text))
        else:
            own = {name: getattr(central, name) for name in ("token", "enrol_token", "ca_file", "mqtt")}
            problems += _weaker(central, tree["central"], place)
            central = validator.central(central_with(tree["central"], own))
    unresolved = {problem.path for problem in problems}
    problems += [problem for problem in validator.problems if problem.path not in unresolved]
    if problems:
        raise ConfigErrors(in_order(problems))
    taken: dict[str, Any] = {"central": central}
    if "connections" in envelope.sections:
        taken["connections"] = connections
    return local.model_copy(update=taken)


def central_problems(section: Any, place: Place, prefix: str = "") -> list[Problem]:
    """What a section `central` may not hold because it comes from a centre."""
    if not isinstance(section, dict):
        return []
    found: list[Problem] = []
    if "ca_file" in section:
        text = "names a file of the device: the local file alone may"
        found.append(Problem(place, f"{prefix}central.ca_file", text))
    if "enrol_token" in section:
        text = "is the device's own: the local file alone has one"
        found.append(Problem(place, f"{prefix}central.enrol_token", text))
    if "mqtt" in section:
        text = "says who the device is at a broker: the local file alone does"
        found.append(Problem(place, f"{prefix}central.mqtt", text))
    if isinstance(section.get("token"), str):
        text = "a token does not belong in a centre's document: leave it out (the device keeps its own), or "
        found.append(Problem(place, f"{prefix}central.token", f"{text}give {{secret: NAME}}"))
    return found


def _weaker(own: CentralSettings, section: Any, place: Place) -> list[Problem]:
    """Whom the device trusts is the local file's: without TLS that would be anybody on the way."""
    url = section.get("url") if isinstance(section, dict) else None
    if not own.url.startswith(_ENCRYPTED) or not isinstance(url, str) or url.startswith(_ENCRYPTED):
        return []
    scheme = own.url.partition("://")[0]
    text = f"the device's own file has {scheme}://, and a centre's document cannot take that back"
    return [Problem(place, f"{PREFIX}central.url", text)]


def central_with(section: Any, own: Mapping[str, Any]) -> Any:
    """The section with what stays the device's own: who it is and whom it trusts is the local file's. A
    token may be another of its secrets."""
    if not isinstance(section, dict):
        return section
    return {**section, **own, **{key: section[key] for key in ("token",) if key in section}}


def _unmanaged(envelope: ConfigEnvelope, local: Document, place: Place) -> list[Problem]:
    """Sections that the centre may not send to this device. What it may send beside configs is none."""
    managed: list[str] = list(local.remote.manage)
    problems: list[Problem] = []
    for name in envelope.sections:
        if name not in managed:
            near = closest(name, managed)
            known = ", ".join(managed) or "nothing"
            text = f"the centre may not manage '{name}' here: remote.manage has {known}{near}"
            problems.append(Problem(place, PREFIX + name, text))
        elif name not in SECTIONS:
            text = "is the local file's: a centre sends scripts, and not what is asked of them"
            problems.append(Problem(place, PREFIX + name, text))
    return problems


class Secrets:
    """Puts the local secrets where the remote document names them."""

    def __init__(self, secrets: Mapping[str, str], place: Place, prefix: str = PREFIX) -> None:
        self.problems: list[Problem] = []
        self._secrets = secrets
        self._place = place
        self._prefix = prefix

    def put_into(self, value: Any, path: str, depth: int = 0, told: bool = False) -> Any:
        """A copy of a section with its secrets. told: the centre gets to know the value. Raises ConfigErrors
        where it is nested without end."""
        if depth > _MAX_DEPTH:
            raise ConfigErrors(
                [Problem(self._place, self._prefix + path, f"nested deeper than {_MAX_DEPTH}")]
            )
        if isinstance(value, list):
            return [
                self.put_into(item, f"{path}[{label(item, index)}]", depth + 1, told)
                for index, item in enumerate(value)
            ]
        if isinstance(value, dict):
            if set(value) == {"secret"} and isinstance(value["secret"], str):
                return self._refused(path) if told else self._secret(value["secret"], path)
            return {
                key: self.put_into(item, join(path, key), depth + 1, told or (depth == 1 and key in _TOLD))
                for key, item in value.items()
            }
        if isinstance(value, str) and "${" in value:
            text = "a config from the centre knows no ${…}: give the value, or {secret: NAME}"
            self.problems.append(Problem(self._place, self._prefix + path, text))
        return value

    def _refused(self, path: str) -> None:
        text = "no secret may stand here: the centre is told names, groups and tags"
        self.problems.append(Problem(self._place, self._prefix + path, text))

    def _secret(self, name: str, path: str) -> str | None:
        if name in self._secrets:
            return self._secrets[name]
        near = closest(name, list(self._secrets))
        text = f"the local secrets: map has no '{name}'{near}"
        self.problems.append(Problem(self._place, self._prefix + path, text))
        return None
