"""The config in force as YAML for people, every secret masked, in pieces of bounded size. Pure.

Without a secret in it the text loads to an equal document.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from edge_agent.config.models import ConnectionSettings, Document
from edge_agent.config.sample import exact
from edge_agent.config.secrecy import MASK, is_secret_key, is_secret_number, masked, secret_values

_TAGS_A_PIECE: Final = 50
_INDENT: Final = "  "
_HEAD: Final = f"# Secrets are masked ({MASK}): this text cannot be loaded as it is.\n"


def secrets_of(document: Document) -> frozenset[str]:
    """All secrets of a document. Tags have none: they are not looked through."""
    heads = [connection.model_dump(exclude={"groups"}) for connection in document.connections]
    sections = document.model_dump(exclude={"connections"})
    return frozenset(secret_values({**sections, "connections": heads}))


def pieces(document: Document, max_tags: int | None = None) -> Iterator[str]:
    """The document with its defaults. max_tags: of each group; what is left out is said in a comment."""
    writer = _Writer(secrets_of(document), max_tags)
    body = list(writer.document(document))
    if writer.has_masked:
        yield _HEAD
    yield from body


class _Writer:
    """Writes one document, and knows afterwards whether something in it is masked."""

    def __init__(self, secrets: frozenset[str], max_tags: int | None) -> None:
        self._secrets = secrets
        self._max_tags = max_tags
        self.has_masked = False

    def document(self, document: Document) -> Iterator[str]:
        sections = document.model_dump(mode="json", exclude={"connections"})
        yield "".join(_mapping(self._hidden(sections), ""))
        if not document.connections:
            yield "connections: []\n"
            return
        yield "connections:\n"
        for connection in document.connections:
            yield from self._connection(connection)

    def _connection(self, connection: ConnectionSettings) -> Iterator[str]:
        settings = connection.model_dump(mode="json", exclude={"groups"})
        yield "".join(_item(self._hidden(settings), _INDENT))
        groups: list[Any] = list(getattr(connection, "groups", ()))
        if groups:
            yield f"{_INDENT * 2}groups:\n"
        for group in groups:
            settings = group.model_dump(mode="json", exclude={"tags"})
            yield "".join(_item(self._hidden(settings), _INDENT * 3))
            yield f"{_INDENT * 4}tags:\n"
            yield from self._tags(group.tags)

    def _tags(self, tags: Iterable[Any]) -> Iterator[str]:
        every = list(tags)
        shown = every if self._max_tags is None else every[: self._max_tags]
        for start in range(0, len(shown), _TAGS_A_PIECE):
            part = shown[start : start + _TAGS_A_PIECE]
            dumped = (self._hidden(tag.model_dump(mode="json", exclude_defaults=True)) for tag in part)
            yield "".join(f"{_INDENT * 5}- {exact(tag)}\n" for tag in dumped)
        if len(shown) < len(every):
            yield f"{_INDENT * 5}# {len(every) - len(shown):,} tags more\n"

    def _hidden(self, value: Any, *, secret: bool = False) -> Any:
        """A copy in which what stands under a secret's name, or is a secret, is masked.

        Whole values, and the user infos of URLs: parts of other texts are names that happen to be alike.
        """
        if isinstance(value, Mapping):
            return {
                key: self._hidden(item, secret=secret or (is_secret_key(str(key)) and item is not None))
                for key, item in value.items()
            }
        if isinstance(value, list):
            return [self._hidden(item, secret=secret) for item in value]
        if secret or (value in self._secrets if isinstance(value, str) else self._is_secret_number(value)):
            self.has_masked = True
            return MASK
        return self._text(value) if isinstance(value, str) else value

    def _is_secret_number(self, value: Any) -> bool:
        return is_secret_number(value, self._secrets)

    def _text(self, value: str) -> str:
        shown = masked(value, ())
        self.has_masked = self.has_masked or shown != value
        return shown.replace("${", "$${")  # else it would be read as a variable


def _item(settings: Mapping[str, Any], indent: str) -> Iterator[str]:
    """A mapping as an item of a list."""
    lines = "".join(_mapping(settings, indent + _INDENT))
    yield f"{indent}- {lines[len(indent) + len(_INDENT) :]}"


def _mapping(settings: Mapping[str, Any], indent: str) -> Iterator[str]:
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield f"{indent}{exact(str(key))}:\n"
            yield from _mapping(value, indent + _INDENT)
        else:
            yield f"{indent}{exact(str(key))}: {exact(value)}\n"
