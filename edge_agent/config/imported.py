"""A local file's connections as a centre's document: includes and tag lists become what they stand for.

`!secret NAME` becomes `{secret: NAME}`, which the device looks up in its own `secrets:` map. `${NAME}` has
no counterpart and is refused. Ranges such as `zone[01..16]` stay as they are written.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from edge_agent.config.errors import Place, Problem, in_order
from edge_agent.config.resolve import Resolver
from edge_agent.config.tree import SecretName, locate

_TAKEN: Final = ("connections",)


@dataclass(slots=True)
class Imported:
    problems: list[Problem]
    warnings: list[Problem] = field(default_factory=list)
    sections: dict[str, Any] = field(default_factory=dict)


def import_sections(path: Path) -> Imported:
    """Never raises for what is in the file."""
    resolver = _ForCentre(path, {})
    root = resolver.read(path, sections=("agent", "remote", *_TAKEN))
    files = [str(file) for file in resolver.files]
    if resolver.problems or not isinstance(root, dict):
        nothing = Problem(Place(str(path)), "", "there is no mapping (key: value) in it")
        return Imported(in_order(resolver.problems or [nothing], files))
    sections = {name: root[name] for name in _TAKEN if root.get(name) is not None}
    if not sections:
        text = f"has nothing that a centre can manage ({', '.join(_TAKEN)})"
        return Imported([Problem(Place(str(path)), "", text)])
    warnings = [*resolver.warnings, *_unmanaged(root, sections, path)]
    return Imported([], in_order(warnings, files), sections)


def _unmanaged(root: Any, sections: dict[str, Any], path: Path) -> list[Problem]:
    remote = root.get("remote")
    managed = remote.get("manage") if isinstance(remote, dict) else None
    place = locate(root, ("remote", "manage"), Place(str(path))).place
    return [
        Problem(place, "remote.manage", f"does not name {name}: the device refuses it until its file does")
        for name in sections
        if not isinstance(managed, list) or name not in managed
    ]


class _ForCentre(Resolver):
    """Leaves secrets where they are."""

    def _scalar(self, value: str | SecretName, path: str, place: Place) -> Any:
        if not isinstance(value, SecretName):
            text = "a config from the centre knows no ${…}: write the value, or !secret NAME"
            self.problems.append(Problem(place, path, text))
            return None
        if not path.startswith(_TAKEN):
            return None
        name = value.name.rsplit("/", 1)[-1]
        text = f"stays on the device: its secrets: map must have '{name}: !secret {value.name}'"
        self.warnings.append(Problem(place, path, text))
        return {"secret": name}
