"""A centre's document judged away from its device: without the local file, and so without its secrets. Pure.

What needs the local file is a warning here and not a problem: whether `remote.manage` hands a section over,
and what the secrets hold that the document names. Everything else is refused as the device would refuse it.
"""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from edge_agent.config.checks import warnings as unwise
from edge_agent.config.errors import ConfigErrors, Place, Problem, in_order
from edge_agent.config.models import AgentSettings, ConnectionSettings, Document
from edge_agent.config.remote import SECTIONS, Secrets, central_problems, central_with
from edge_agent.config.translate import closest
from edge_agent.config.validate import SettingsLookup, Validator

PLACE: Final = Place("config")
# Stands where a secret will be; no setting that takes a text refuses it for its form.
_ANY_SECRET: Final = "secret"  # noqa: S105 stands for one

# How objections to a text begin where a whole part of the document should be.
_MORE_THAN_TEXT: Final = ("needs a list", "needs a mapping")


@dataclass(slots=True)
class Judged:
    """connections: those that are valid; only of use where there is no problem."""

    problems: list[Problem]
    warnings: list[Problem] = field(default_factory=list)
    connections: list[ConnectionSettings] = field(default_factory=list)


def judge_sections(sections: Mapping[str, Any], lookup: SettingsLookup) -> Judged:
    """All that is wrong with the sections of a centre's document, and what only the device can tell."""
    problems = list(_unknown(sections))
    secrets = _Placeholders()
    try:
        tree = {name: secrets.put_into(value, name) for name, value in sections.items()}
    except ConfigErrors as error:
        return Judged(in_order([*problems, *error.problems]))
    problems += secrets.problems
    validator = Validator(tree, PLACE, lookup)
    connections = validator.connections()
    if "central" in tree:
        problems += central_problems(sections["central"], PLACE)
        validator.central(central_with(tree["central"], {"ca_file": None, "mqtt": None}))
    doubtful = [each for each in validator.problems if _may_pass(each, secrets.paths)]
    problems += [each for each in validator.problems if not _may_pass(each, secrets.paths)]
    if problems:
        return Judged(in_order(problems))
    found = [*doubtful, *secrets.needed()]
    if "connections" in sections:
        document = Document(agent=AgentSettings(id="any")).model_copy(update={"connections": connections})
        found += unwise(document, tree, PLACE)
    return Judged([], in_order(found), connections)


def _may_pass(problem: Problem, secrets: Container[str]) -> bool:
    """Whether it depends on what the device's secret is. That it is a text, and no more, is known here."""
    return problem.path in secrets and not problem.message.startswith(_MORE_THAN_TEXT)


def _unknown(sections: Iterable[str]) -> Iterable[Problem]:
    for name in sections:
        if name not in SECTIONS:
            near = closest(name, list(SECTIONS))
            known = ", ".join(SECTIONS)
            yield Problem(PLACE, name, f"the centre cannot manage '{name}': it can manage {known}{near}")


class _Placeholders(Secrets):
    """Takes every name for a secret that the device has, and notes where."""

    def __init__(self) -> None:
        super().__init__({}, PLACE, "")
        self.paths: dict[str, str] = {}

    def _secret(self, name: str, path: str) -> str:
        self.paths[path] = name
        return _ANY_SECRET

    def needed(self) -> list[Problem]:
        return [
            Problem(PLACE, path, f"needs '{name}' in the device's own secrets: map")
            for path, name in self.paths.items()
        ]
