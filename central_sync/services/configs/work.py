"""What a job does with each device's config: pure functions from an edit and sections to new sections.

An edit is kept with its job as JSON, whole: a template that changes meanwhile changes no job.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue

from central_sync.services.configs import edits as config_edits
from central_sync.services.configs.edits import Sections
from central_sync.services.configs.template_text import Parameter, fill, values
from central_sync.services.views import View

Parameters = dict[str, JsonValue]


class Replace(View):
    kind: Literal["replace"] = "replace"
    sections: dict[str, JsonValue]


class Merge(View):
    kind: Literal["merge_connections"] = "merge_connections"
    sections: dict[str, JsonValue]


class Patch(View):
    kind: Literal["patch"] = "patch"
    connections: dict[str, JsonValue]


class Template(View):
    """connections: a pattern, where the job's devices have none of their own. given: values for all."""

    kind: Literal["template"] = "template"
    template: str
    version: int
    driver: str
    groups: list[JsonValue]
    parameters: dict[str, Parameter]
    connections: str = "*"
    given: Parameters = Field(default={})
    replace: bool = False


Edit = Annotated[Replace | Merge | Patch | Template, Field(discriminator="kind")]


class Job(View):
    """The edit, for reading it back."""

    edit: Edit


class Work(View):
    """What is to be done with one device alone: the connections that get the template, each with values."""

    connections: dict[str, Parameters]


def edited(edit: Edit, work: Work | None, sections: Sections) -> Sections:
    """Raises Invalid, NotFound."""
    match edit:
        case Replace():
            return dict(edit.sections)
        case Merge():
            return config_edits.merge_connections(sections, dict(edit.sections))
        case Patch():
            return config_edits.patch_connections(sections, edit.connections)
        case Template():
            return _with_template(edit, work, sections)


def _with_template(edit: Template, work: Work | None, sections: Sections) -> Sections:
    if work is not None:
        uses = work.connections
    else:
        uses = {name: {} for name in config_edits.chosen(sections, edit.connections, edit.driver)}
    for connection, own in uses.items():
        groups = filled(edit, {**edit.given, **own})
        sections = config_edits.put_groups(sections, connection, groups, edit.driver, replace=edit.replace)
    return sections


def filled(edit: Template, given: Parameters) -> list[Any]:
    groups: list[Any] = fill(edit.groups, values(edit.parameters, given))
    return groups
