"""The archive of a bundle: a .tar.gz with a manifest, readable by its owner alone, never beyond its bound."""

import hashlib
import io
import os
import tarfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

MAX_FILE_BYTES: Final = 4 << 20
# Uncompressed, manifest and headers apart: what cannot be compressed stays under 20 MiB, too.
MAX_TOTAL_BYTES: Final = 19 << 20
MANIFEST: Final = "MANIFEST.json"


@dataclass(frozen=True, slots=True)
class Piece:
    """One file. about: what it is, for the manifest. newest_last: where it is too long, its end is kept."""

    name: str
    about: str
    text: str
    newest_last: bool = False


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What is not in the archive, and why."""

    name: str
    about: str
    why: str


@dataclass(frozen=True, slots=True)
class Packed:
    """files, left_out: as the manifest has them."""

    size_bytes: int
    files: list[dict[str, Any]]
    left_out: list[dict[str, Any]]


def pack(path: Path, pieces: Iterable[Piece], left_out: Iterable[LeftOut], head: dict[str, Any]) -> Packed:
    """Writes the archive. head: what the manifest begins with. Raises OSError; FileExistsError where there
    is such a file already. Nothing is left behind then."""
    root = path.name.removesuffix(".gz").removesuffix(".tar")
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            files, left = _write(file, root, pieces, head, left_out)
            file.flush()
            size = file.tell()
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return Packed(size, files, left)


def _write(
    file: Any, root: str, pieces: Iterable[Piece], head: dict[str, Any], left_out: Iterable[LeftOut]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    files: list[dict[str, Any]] = []
    left = [_named(each) for each in left_out]
    total = 0
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for piece in pieces:
            data, whole = _bounded(piece)
            if total + len(data) > MAX_TOTAL_BYTES:
                left.append(_named(LeftOut(piece.name, piece.about, "the bundle would be too large")))
                continue
            total += len(data)
            _add(archive, f"{root}/{piece.name}", data)
            files.append(
                {
                    "name": piece.name,
                    "about": piece.about,
                    "bytes": len(data),
                    "sha256": hashlib.sha256(data).hexdigest(),
                    **({} if whole else {"cut": f"of {len(piece.text.encode()):,} bytes"}),
                }
            )
        manifest = {**head, "files": files, "left_out": left}
        _add(archive, f"{root}/{MANIFEST}", orjson.dumps(manifest, option=orjson.OPT_INDENT_2))
    return files, left


def _bounded(piece: Piece) -> tuple[bytes, bool]:
    """The bytes, and whether they are all."""
    data = piece.text.encode("utf-8", "replace")
    if len(data) <= MAX_FILE_BYTES:
        return data, True
    return (data[-MAX_FILE_BYTES:] if piece.newest_last else data[:MAX_FILE_BYTES]), False


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = len(data), 0o600, int(time.time())
    archive.addfile(entry, io.BytesIO(data))


def _named(each: LeftOut) -> dict[str, Any]:
    return {"name": each.name, "about": each.about, "why": each.why}
