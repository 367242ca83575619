"""The config in force as YAML for people, every secret masked, in pieces of bounded size. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from edge_agent.config.models import ConnectionSettings, Document
from edge_agent.config.sample import flow
from edge_agent.config.secrecy import MASK, is_secret_key, masked, secret_values

_TAGS_A_PIECE: Final = 50
_INDENT: Final = "  "


def secrets_of(document: Document) -> frozenset[str]:
    """All secrets of a document. Tags have none: they are not looked through."""
    heads = [connection.model_dump(exclude={"groups"}) for connection in document.connections]
    sections = document.model_dump(exclude={"connections"})
    return frozenset(secret_values({**sections, "connections": heads}))


def pieces(document: Document, max_tags: int | None = None) -> Iterator[str]:
    """The document with its defaults. max_tags: of each group; what is left out is said in a comment."""
    secrets = secrets_of(document)
    sections = document.model_dump(mode="json", exclude={"connections"})
    yield masked("".join(_mapping(_hidden(sections), "")), secrets)
    if not document.connections:
        yield "connections: []\n"
        return
    yield "connections:\n"
    for connection in document.connections:
        for piece in _connection(connection, max_tags):
            yield masked(piece, secrets)


def _connection(connection: ConnectionSettings, max_tags: int | None) -> Iterator[str]:
    settings = connection.model_dump(mode="json", exclude={"groups"})
    yield "".join(_item(_hidden(settings), _INDENT))
    groups: list[Any] = list(getattr(connection, "groups", ()))
    if groups:
        yield f"{_INDENT * 2}groups:\n"
    for group in groups:
        yield "".join(_item(_hidden(group.model_dump(mode="json", exclude={"tags"})), _INDENT * 3))
        yield f"{_INDENT * 4}tags:\n"
        yield from _tags(group.tags, max_tags)


def _tags(tags: Iterable[Any], max_tags: int | None) -> Iterator[str]:
    every = list(tags)
    shown = every if max_tags is None else every[:max_tags]
    for start in range(0, len(shown), _TAGS_A_PIECE):
        part = shown[start : start + _TAGS_A_PIECE]
        dumped = (_hidden(tag.model_dump(mode="json", exclude_defaults=True)) for tag in part)
        yield "".join(f"{_INDENT * 5}- {flow(tag)}\n" for tag in dumped)
    if len(shown) < len(every):
        yield f"{_INDENT * 5}# {len(every) - len(shown):,} tags more\n"


def _hidden(value: Any, *, secret: bool = False) -> Any:
    """A copy in which everything under a secret's name is masked."""
    if isinstance(value, Mapping):
        return {
            key: _hidden(item, secret=secret or (is_secret_key(str(key)) and item is not None))
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_hidden(item, secret=secret) for item in value]
    return MASK if secret else value


def _item(settings: Mapping[str, Any], indent: str) -> Iterator[str]:
    """A mapping as an item of a list."""
    lines = "".join(_mapping(settings, indent + _INDENT))
    yield f"{indent}- {lines[len(indent) + len(_INDENT) :]}"


def _mapping(settings: Mapping[str, Any], indent: str) -> Iterator[str]:
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield f"{indent}{flow(str(key))}:\n"
            yield from _mapping(value, indent + _INDENT)
        else:
            yield f"{indent}{flow(str(key))}: {flow(value)}\n"
