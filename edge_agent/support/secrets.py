"""All secrets that are known on this machine, whatever is wrong with its config: for masking alone.

Those that the config holds or names, those that its URLs carry, systemd's credentials, files beside the
config that `!secret` may name, variables whose names say it, and what the centre's last config holds.
"""

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import orjson

from edge_agent.config.errors import Place
from edge_agent.config.reader import parse
from edge_agent.config.resolve import MAX_SECRET_BYTES, Resolver
from edge_agent.config.secrecy import is_secret_key, secret_values
from edge_agent.support.config_text import hidden_values
from edge_agent.support.scrub import user_infos

_NAMED: Final = re.compile(r"!secret\s+[\"']?([\w./-]+)")
_VARIABLE: Final = re.compile(r"^[^#\n]*?[\"']?([\w-]+)[\"']?\s*:\s*[\"']?\$\{(\w+)", re.MULTILINE)
_DEFAULT: Final = re.compile(r"\$\{\w+:-([^}]+)")
# What names a secret, and what stands where there is none.
_NO_SECRET: Final = re.compile(r"!secret|\$\{\w+\}|\*+|true|false|none|null|yes|no", re.IGNORECASE)
_MAX_FILES: Final = 200


def known_secrets(config: Path, texts: Iterable[str], environ: Mapping[str, str]) -> set[str]:
    """texts: the config's files, as far as they can be read."""
    texts = list(texts)
    resolver = Resolver(config, environ)
    found = secret_values(resolver.read(config))
    for text in texts:
        found |= secret_values(parse(text.encode("utf-8", "surrogateescape"), str(config)).tree)
        found |= user_infos(text)
        hidden = hidden_values(text)
        found |= hidden | {default for value in hidden for default in _DEFAULT.findall(value)}
        for name in _NAMED.findall(text):
            resolver.secret(name, "", Place(str(config)))
        named = {name for key, name in _VARIABLE.findall(text) if is_secret_key(key)}
        found |= {environ[name] for name in named if name in environ}
    found |= resolver.secrets
    # A path in a variable (`TOKEN_DIR=/run`) says where a secret is.
    found |= {value for name, value in environ.items() if is_secret_key(name) and not value.startswith("/")}
    found |= {info for value in environ.values() for info in user_infos(value)}
    found |= set(_files(config, environ))
    return {each for each in found if not _NO_SECRET.fullmatch(each)}


def last_config_secrets(path: Path) -> set[str]:
    """Those in what the centre sent last, as `config.last_good` keeps it."""
    with contextlib.suppress(OSError, ValueError):
        body: Any = orjson.loads(path.read_bytes().split(b"\n", 2)[2])
        return secret_values(body) | user_infos(orjson.dumps(body).decode())
    return set()


def _files(config: Path, environ: Mapping[str, str]) -> Iterator[str]:
    """The contents of the directories that `!secret NAME` is looked up in, that beside the config apart."""
    credentials = environ.get("CREDENTIALS_DIRECTORY")
    for directory in (config.parent / "secrets", *([Path(credentials)] if credentials else [])):
        with contextlib.suppress(OSError):
            for file in sorted(directory.iterdir())[:_MAX_FILES]:
                with contextlib.suppress(OSError, UnicodeDecodeError), file.open("rb") as opened:
                    yield opened.read(MAX_SECRET_BYTES).decode().strip()
