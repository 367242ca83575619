"""Reads the files: includes, `!secret` and `${NAME}` become what they stand for.

A secret is looked up as `$CREDENTIALS_DIRECTORY/NAME` or `…/secret_NAME` (systemd's LoadCredential), then
as `secrets/NAME` and `NAME` beside the main config file; a name with a slash is a file relative to that
directory, and nothing else. The document's own `secrets:` map is for what the centre sends and is not asked
here.

Includes are relative to the file they stand in. What they hold is merged where `include` stands:
mappings into the mapping, the lists `connections`, `groups` and `tags` behind one another; a value that
is set in two places is an error. An `include` that is alone in its mapping may bring a list, too. Files
called .csv, .tsv or .txt are tag lists (`tag_list`): beside their `include` may stand an `encoding`.
"""

import codecs
import glob
import os
import stat
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

from edge_agent.config.errors import Place, Problem
from edge_agent.config.reader import MAX_BYTES, MAX_NODES, Parsed, parse
from edge_agent.config.scalars import substitute, variables
from edge_agent.config.secrecy import is_secret_key
from edge_agent.config.tag_list import is_tag_list, parse_tags
from edge_agent.config.tree import PlacedList, PlacedMap, SecretName, join, label

MAX_FILES: Final = 1_000
MAX_SECRET_BYTES: Final = 64 << 10
# How the warning about a secret that others can read begins.
EXPOSED: Final = "everybody on this machine can read"
_MAX_INCLUDE_DEPTH: Final = 10
_MAX_DEPTH: Final = 100
JOINED_LISTS: Final = ("connections", "groups", "tags")
# Escapes and spellings of domain names: Python calls them character sets, and no spreadsheet writes them.
_NO_CHARACTER_SETS: Final = ("idna", "punycode", "unicode-escape", "raw-unicode-escape")
_NOT_HERE: Final = "a tag list is an item of tags, with nothing but its encoding: tags: [{include: tags.csv}]"


class Resolver:
    """One load: collects files, problems, warnings and the secrets that no message may show."""

    def __init__(self, main: Path, environ: Mapping[str, str]) -> None:
        self.files: list[Path] = []
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.secrets: set[str] = set()
        self._base = main.parent
        self._environ = environ
        self._bytes = 0
        self._nodes = 0
        self._done: dict[int, Any] = {}
        self._partial: dict[int, Collection[str]] = {}
        self._kept: list[Any] = []
        self._depth = 0

    def read(
        self,
        path: Path,
        asked_at: Place | None = None,
        stack: tuple[Path, ...] = (),
        encoding: str | None = None,
        sections: Collection[str] = (),
    ) -> Any:
        """The file's tree with everything resolved; None where it cannot be read, with a problem.

        encoding: of a tag list, where the config names it. sections: these keys of the file and of what
        its document includes, with what may stand for them (`sections.chosen`); none: all of it.
        """
        place = asked_at or Place(str(path))
        try:
            identity = Path(os.path.realpath(path))
            refusal = self._refusal(path, identity, stack)
            if refusal:
                self.problems.append(Problem(place, "", refusal))
                return None
            with path.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
        except (OSError, ValueError) as error:
            what = f"{path} cannot" if asked_at else "cannot"
            self.problems.append(Problem(place, "", f"{what} be read: {_reason(error)}"))
            return None
        self.files.append(path)
        self._bytes += len(data)
        if asked_at and is_tag_list(path.name):
            listed = parse_tags(data, str(path), encoding)
            self.problems += listed.problems
            self.warnings += listed.warnings
            return listed.tags
        parsed = _parse_sections(data, str(path), sections) if sections else parse(data, str(path))
        self.problems += parsed.problems
        if isinstance(parsed.tree, PlacedMap):
            self._partial[id(parsed.tree)] = sections
        return self._resolve(parsed.tree, "", (*stack, identity), path.parent)

    def _refusal(self, path: Path, identity: Path, stack: tuple[Path, ...]) -> str:
        if identity in stack:
            return f"{path} includes itself"
        if len(stack) > _MAX_INCLUDE_DEPTH:
            return f"includes are nested deeper than {_MAX_INCLUDE_DEPTH} files"
        if len(self.files) >= MAX_FILES or self._bytes > MAX_BYTES:
            return f"the config is made of more than {MAX_FILES} files or {MAX_BYTES >> 20} MiB"
        return ""

    def _resolve(self, value: Any, path: str, stack: tuple[Path, ...], here: Path) -> Any:
        if not isinstance(value, PlacedMap | PlacedList):
            return value
        if id(value) in self._done:  # an alias: resolved once, however often it stands there
            return self._done[id(value)]
        self._kept.append(value)  # an id is only as good as its object is alive
        if self._depth > _MAX_DEPTH:
            self.problems.append(Problem(value.place, path, f"nested deeper than {_MAX_DEPTH} levels"))
            return None
        self._depth += 1
        if isinstance(value, PlacedList):
            result: Any = self._resolve_list(value, path, stack, here)
        else:
            result = self._resolve_map(value, path, stack, here)
        self._depth -= 1
        self._done[id(value)] = result
        return result

    def _resolve_list(self, value: PlacedList, path: str, stack: tuple[Path, ...], here: Path) -> PlacedList:
        result = PlacedList(value.place)
        for index, (item, at) in enumerate(zip(value, value.at, strict=True)):
            inner = f"{path}[{label(item, index)}]"
            if _is_special(item):
                done: Any = self._scalar(item, inner, at)
            else:
                done = self._resolve(item, inner, stack, here)
            if isinstance(done, PlacedList) and isinstance(item, PlacedMap):  # an include alone
                result.extend(done)
                result.at.extend(done.at)
            else:
                result.add(done, at)
        return result

    def _resolve_map(self, value: PlacedMap, path: str, stack: tuple[Path, ...], here: Path) -> Any:
        for key, item in value.items():
            if key == "include":
                continue
            inner = join(path, key)
            if _is_special(item):
                done = self._scalar(item, inner, value.at[key][1])
                if is_secret_key(key) and isinstance(done, str):
                    self.secrets.add(done)
            else:
                done = self._resolve(item, inner, stack, here)
            value[key] = done
        if "include" not in value:
            return value
        return self._include(value, path, stack, here)

    def _scalar(self, value: str | SecretName, path: str, place: Place) -> str | None:
        if isinstance(value, SecretName):
            return self.secret(value.name, path, place)
        try:
            text = substitute(value, self._environ)
        except ValueError as error:
            self.problems.append(Problem(place, path, str(error)))
            return None
        self.secrets.update(self._environ.get(name, "") for name in variables(value) if is_secret_key(name))
        return text

    # --- includes ---------------------------------------------------------------------------------

    def _include(self, value: PlacedMap, path: str, stack: tuple[Path, ...], here: Path) -> Any:
        asked_at = value.at.pop("include")[1]
        names = self._include_names(value.pop("include"), path, asked_at)
        lists = bool(names) and all(map(is_tag_list, names))
        encoding = self._encoding(value, path) if lists else None
        contents: list[Any] = []
        for name in names:
            for file in _matches(here, name):
                content = self.read(file, asked_at, stack, encoding, self._partial.get(id(value), ()))
                if content is not None:
                    contents.append(content)
        alone = not value and bool(contents or lists)
        if alone and all(isinstance(content, PlacedList) for content in contents):
            joined = PlacedList(asked_at)
            for content in contents:
                joined.extend(content)
                joined.at.extend(content.at)
            return joined
        for content in contents:
            if isinstance(content, PlacedMap):
                self._merge(value, content, path)
            else:
                message = "what is included here is not a mapping (key: value)"
                self.problems.append(
                    Problem(value.place, path, _NOT_HERE) if lists else Problem(asked_at, path, message)
                )
        return value

    def _encoding(self, value: PlacedMap, path: str) -> str | None:
        """Takes the tag lists' encoding out of the mapping that includes them, if it has one."""
        if "encoding" not in value:
            return None
        encoding, (_, place) = value.pop("encoding"), value.at.pop("encoding")
        if isinstance(encoding, str) and _is_encoding(encoding):
            return encoding
        message = "needs the character set of a tag list, such as utf-8, cp949, utf-16 or cp1252"
        self.problems.append(Problem(place, join(path, "encoding"), message))
        return None

    def _include_names(self, names: Any, path: str, place: Place) -> list[str]:
        listed = names if isinstance(names, list) else [names]
        if listed and all(isinstance(name, str) and name and "\0" not in name for name in listed):
            return listed
        message = "include needs a file, a pattern such as conf.d/*.yaml, or a list of them"
        self.problems.append(Problem(place, join(path, "include"), message))
        return []

    def _merge(self, into: PlacedMap, content: PlacedMap, path: str) -> None:
        for key, value in content.items():
            self._nodes += 1
            if key not in into:
                into.put(key, value, content.at[key])
                continue
            old, inner = into[key], join(path, key)
            if isinstance(old, PlacedMap) and isinstance(value, PlacedMap) and self._nodes < MAX_NODES:
                merged = old.twin()  # what is there may stand elsewhere, too, by an alias
                merged.at = dict(old.at)
                self._merge(merged, value, inner)
                into[key] = merged
            elif isinstance(old, PlacedList) and isinstance(value, PlacedList) and key in JOINED_LISTS:
                joined = PlacedList(old.place)
                for part in (old, value):
                    joined.extend(part)
                    joined.at.extend(part.at)
                into.put(key, joined, into.at[key])
            else:
                place, first = content.at[key][0], into.at[key][0]
                self.problems.append(Problem(place, inner, f"'{key}' is already set in {first}"))

    # --- secrets ----------------------------------------------------------------------------------

    def secret(self, name: str, path: str, place: Place) -> str | None:
        """The secret of this name, for the setting at `path`; None, with a problem, where there is none."""
        if not name or "\0" in name:
            return None
        candidates = self._candidates(name)
        file = next((each for each in candidates if _is_file(each)), None)
        if file is None:
            tried = ", ".join(str(each) for each in candidates)
            message = f"the secret '{name}' is not there; looked for {tried}"
            self.problems.append(Problem(place, path, message))
            return None
        try:
            with file.open("rb") as opened:
                mode = stat.S_IMODE(file.stat().st_mode)
                text = opened.read(MAX_SECRET_BYTES).decode().strip()
        except (OSError, UnicodeDecodeError) as error:
            message = f"the secret '{name}' in {file} cannot be read: {_reason(error)}"
            self.problems.append(Problem(place, path, message))
            return None
        if not text:
            self.problems.append(Problem(place, path, f"the secret '{name}' in {file} is empty"))
        if mode & stat.S_IROTH:
            message = f"{EXPOSED} {file}: chmod 600 it"
            self.warnings.append(Problem(place, path, message))
        self.secrets.add(text)
        return text

    def _candidates(self, name: str) -> list[Path]:
        if "/" in name or name in (".", ".."):
            return [self._base / name]
        candidates = [self._base / "secrets" / name, self._base / name]
        credentials = self._environ.get("CREDENTIALS_DIRECTORY", "")
        if not credentials:
            return candidates
        # The second is the name of a file of a directory that is given as `LoadCredential=secret:DIRECTORY`.
        return [Path(credentials) / name, Path(credentials) / f"secret_{name}", *candidates]


def _parse_sections(data: bytes, file: str, sections: Collection[str]) -> Parsed:
    """The sections, and the `include` beside them."""
    parsed = parse(data, file, sections)
    if parsed.problems:
        # An anchor may stand in what was left out; and of what is wrong, all is to be told.
        parsed = parse(data, file)
    if isinstance(parsed.tree, PlacedMap):
        for key in [*parsed.tree]:
            if key not in sections and key != "include":
                del parsed.tree[key]
    return parsed


def _is_special(value: Any) -> bool:
    return isinstance(value, SecretName) or (isinstance(value, str) and "${" in value)


def _is_encoding(name: str) -> bool:
    """Whether Python knows it, and as one of text."""
    try:
        known = isinstance("A".encode(name), bytes)
        return known and codecs.lookup(name).name not in _NO_CHARACTER_SETS
    except (LookupError, ValueError):
        return False


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # no permission on a directory above it, or a name too long
        return False


def _matches(here: Path, name: str) -> list[Path]:
    """The files that a name stands for. A pattern may match none; a plain name is taken as it is."""
    if not glob.has_magic(name):
        return [here / name]
    found = glob.glob(name, root_dir=here)  # noqa: PTH207 Path.glob refuses absolute patterns
    return [here / each for each in sorted(found)]


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
