"""The agent's judgement where no device is at hand: for a centre, before it saves or sends a config.

Nothing here reads a local file but `take_sections`, whose work that is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_agent.app.offline import GroupPlan, plans_of
from edge_agent.app.settings import settings_of
from edge_agent.config.errors import Problem
from edge_agent.config.foreign import PLACE, judge_sections
from edge_agent.config.imported import import_sections
from edge_agent.config.tag_list import parse_tags
from edge_agent.contracts.errors import ConfigError


@dataclass(slots=True)
class Judgement:
    """Valid where there is no problem. plans: of all groups of a valid document. content: what was read:
    sections of a config, or the tags of a list; None where there was nothing to read."""

    problems: list[Problem]
    warnings: list[Problem] = field(default_factory=list)
    plans: list[GroupPlan] = field(default_factory=list)
    content: Any = None


def judge(sections: Mapping[str, Any]) -> Judgement:
    """A centre's document: what every agent of this version would refuse, and what the device must tell."""
    judged = judge_sections(sections, settings_of)
    result = Judgement(list(judged.problems), list(judged.warnings))
    if result.problems:
        return result
    for connection in judged.connections:
        try:
            result.plans += plans_of([connection])
        except ConfigError as error:
            result.problems.append(Problem(PLACE, f"connections[{connection.name}]", str(error)))
    return result


def read_tags(data: bytes, file: str, encoding: str | None) -> Judgement:
    """A tag list in any of its dialects, as the items of a group's `tags`."""
    listed = parse_tags(data, file, encoding)
    return Judgement(listed.problems, listed.warnings, content=listed.tags)


def take_sections(path: Path) -> Judgement:
    """What a local file says of the sections that a centre can manage, judged."""
    imported = import_sections(path)
    if imported.problems:
        return Judgement(imported.problems, imported.warnings)
    result = judge(imported.sections)
    result.warnings = [*imported.warnings, *result.warnings]
    result.content = imported.sections
    return result
