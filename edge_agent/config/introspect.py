"""What models say about themselves: which models stand behind a field, and at a place of the data."""

import types
from collections.abc import Iterator
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from edge_agent.config.expand import STEP_FIELD

Model = type[BaseModel]


def models_in(annotation: Any) -> list[Model]:
    """The models that values of a field may be, inside of lists, mappings and unions too."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in models_in(part)]


def models_at(model: Model, location: tuple[int | str, ...]) -> list[Model]:
    """The models that pydantic tried at a location of its errors; empty where there is none."""
    candidates = [model]
    for element in location:
        if isinstance(element, int):
            continue
        fields = [each.model_fields[element] for each in candidates if element in each.model_fields]
        if fields:
            candidates = [found for each in fields for found in models_in(each.annotation)]
        else:  # a member of a union, by its class or by its discriminator's value
            candidates = [each for each in candidates if _is_member(each, element)] or candidates
    return candidates


def _is_member(model: Model, tag: str) -> bool:
    return model.__name__ == tag or any(tag in choices(field) for field in model.model_fields.values())


def choices(field: FieldInfo) -> list[str]:
    """The values a field may have, where these are few and known."""
    return list(_choices(field.annotation))


def _choices(annotation: Any) -> Iterator[str]:
    origin = get_origin(annotation)
    if origin is Literal:
        yield from (str(value) for value in get_args(annotation))
    elif origin in (Union, types.UnionType, Annotated):
        for part in get_args(annotation):
            yield from _choices(part)
    elif isinstance(annotation, type) and issubclass(annotation, Enum):
        yield from (str(member.value) for member in annotation)


def is_hidden(name: str, field: FieldInfo) -> bool:
    """Whether the agent sets the field itself; a document may not."""
    return name == STEP_FIELD and bool(field.exclude)


def known_keys(models: list[Model]) -> list[str]:
    return sorted(
        {name for model in models for name, field in model.model_fields.items() if not is_hidden(name, field)}
    )


def tags_have_step(connection: Model) -> bool:
    """Whether the tags of a driver's connection take the hidden field `step`."""
    return any(STEP_FIELD in tag.model_fields for tag in models_at(connection, ("groups", "tags")))
