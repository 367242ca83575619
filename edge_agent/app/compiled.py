"""A config as a running agent holds it: made in a child process, small, and ready to be built.

The child reads, validates and plans. What it hands over is an outline to compare, one pickled blueprint
a connection, and what a later child needs to know; models of tags never come to the agent. So a large
config moves no poll cycle, and 100,000 tags take a few megabytes.
"""

import codecs
import pickle
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from edge_agent.app.config_text import pieces, secrets_of
from edge_agent.app.settings import load_config, settings_of
from edge_agent.config.last_good import envelope_hash
from edge_agent.config.load import Loaded
from edge_agent.config.models import Document
from edge_agent.config.outline import Outline
from edge_agent.config.remote import merge_remote
from edge_agent.config.scripts import LocalScript
from edge_agent.contracts.errors import ConfigError
from edge_agent.drivers import registry
from edge_agent.pipeline.build import Blueprint, blueprint
from edge_agent.wire.messages import ConfigEnvelope
from edge_agent.writing.permit import Permits, permits_of

# Of each group, where a config is shown and not downloaded.
_TAGS_SHOWN: Final = 20
_PIECE_BYTES: Final = 32_768


@dataclass(frozen=True, slots=True)
class Compiled:
    """A valid config.

    outline: what it says, for comparing; its `head` has the agent's own settings. warnings: what works and
    is unwise, one line each. local, running: the local file and what runs, packed, for children that put
    the centre's over it or write it out. text: the document as YAML for people with the first tags of each
    group, packed. secrets: what no text may show. permits: what of the local file's allow-list of writes may
    be written as things stand, by tag. hooks: the local file's scripts, none of them compiled.
    """

    outline: Outline
    directory: Path
    warnings: tuple[str, ...]
    blueprints: Mapping[str, bytes] = field(repr=False)
    local: bytes = field(repr=False)
    running: bytes = field(repr=False)
    text: bytes = field(repr=False)
    secrets: frozenset[str] = field(repr=False)
    permits: Permits = field(default_factory=dict, repr=False)
    hooks: tuple[LocalScript, ...] = field(default=(), repr=False)

    @property
    def head(self) -> Document:
        return self.outline.head

    @property
    def names(self) -> list[str]:
        """Of all connections, those that are not enabled included."""
        return list(self.outline.connections)

    def blueprint(self, name: str) -> Blueprint | None:
        """A fresh one each time; None for a connection that is not enabled."""
        packed = self.blueprints.get(name)
        drawn: Blueprint | None = None if packed is None else _unpack(packed)
        return drawn


@dataclass(frozen=True, slots=True)
class Sent:
    """What a config of the centre comes to. `compiled` is None where it has `problem`s.

    content: its hash, under which it is kept or quarantined.
    """

    version: int
    content: str
    compiled: Compiled | None
    problem: str = ""


def compile_file(path: Path) -> Compiled:
    """The local file's config. Raises ConfigError. For a child process, as all that is slow here."""
    loaded = load_config(path)
    packed = _pack(loaded)
    return _compile(loaded, packed, packed)


def compile_sent(local: bytes, body: bytes, known_bad: frozenset[str]) -> Sent:
    """The config that an envelope of the centre (`body`, JSON) makes of the local one.

    known_bad: contents in quarantine: for them there is neither a config nor a problem. Raises ConfigError
    for a body that is no envelope.
    """
    try:
        envelope = ConfigEnvelope.model_validate_json(body)
    except ValidationError as error:
        raise ConfigError(f"what the centre sent is not a config: {error}") from error
    content = envelope_hash(envelope)
    if content in known_bad:
        return Sent(envelope.version, content, None)
    loaded: Loaded = _unpack(local)
    try:
        document = merge_remote(loaded, envelope, settings_of)
        outline = Outline.of(document, [local.script for local in loaded.scripts])
        wanted = replace(loaded, document=document, outline=outline)
        compiled = _compile(wanted, local, _pack(wanted))
    except ConfigError as error:
        return Sent(envelope.version, content, None, str(error))
    return Sent(envelope.version, content, compiled)


def write_out(running: bytes) -> bytes:
    """The whole of `Compiled.running` as YAML for people, secrets masked. Packed; for a child process."""
    loaded: Loaded = _unpack(running)
    return zlib.compress("".join(pieces(loaded.document)).encode())


def unpacked(text: bytes) -> Iterator[str]:
    """A packed text in pieces."""
    unpacker = zlib.decompressobj()
    decoder = codecs.getincrementaldecoder("utf-8")()
    while text:
        yield decoder.decode(unpacker.decompress(text, _PIECE_BYTES))
        text = unpacker.unconsumed_tail


def _compile(wanted: Loaded, local: bytes, running: bytes) -> Compiled:
    document = wanted.document
    blueprints = {
        connection.name: _pack(blueprint(connection, registry.lookup(connection.driver)))
        for connection in document.connections
        if connection.enabled
    }
    specs = {each.driver: registry.lookup(each.driver) for each in document.connections}
    permits = permits_of(document, wanted.outline.connections, specs)
    # What is permitted and cannot be is for people to see; nothing is wrong with the rest.
    barred = [f"writes.allow: {tag}: {why}" for tag, why in permits.items() if isinstance(why, str)]
    return Compiled(
        wanted.outline,
        wanted.directory,
        (*(str(problem) for problem in wanted.warnings), *barred),
        blueprints,
        local,
        running,
        zlib.compress("".join(pieces(document, _TAGS_SHOWN)).encode()),
        secrets_of(document),
        permits,
        wanted.scripts,
    )


def _pack(value: object) -> bytes:
    return zlib.compress(pickle.dumps(value), 1)


def _unpack(packed: bytes) -> Any:
    return pickle.loads(zlib.decompress(packed))  # noqa: S301 from our own child
