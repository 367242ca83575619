"""What a fuzzing process tells the one that watches it, in a file that both map: it outlives any death.

The number of inputs so far, and the input that is being tried.
"""

import mmap
import struct
from pathlib import Path
from typing import Final

_HEAD: Final = struct.Struct("<QQ")
_DATA_BYTES: Final = 1 << 20


class Record:
    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(_HEAD.size + _DATA_BYTES))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)

    def begin(self, data: bytes) -> None:
        count, _ = _HEAD.unpack_from(self._map)
        kept = data[:_DATA_BYTES]
        self._map[_HEAD.size : _HEAD.size + len(kept)] = kept
        _HEAD.pack_into(self._map, 0, count + 1, len(kept))

    @property
    def inputs(self) -> int:
        return int(_HEAD.unpack_from(self._map)[0])

    @property
    def data(self) -> bytes:
        """The latest input."""
        size = _HEAD.unpack_from(self._map)[1]
        return self._map[_HEAD.size : _HEAD.size + size]

    def close(self) -> None:
        self._map.close()
