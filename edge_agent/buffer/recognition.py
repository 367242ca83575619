"""Knows the rows of the buffer's tables again by their columns, where no schema says what they are. Pure."""

from collections.abc import Sequence
from typing import Final

from edge_agent.buffer.pages import Cell, Torn, serials, values
from edge_agent.wire.batch import HASH_BYTES

# The columns of a row by type: n null, i whole number, t text, b bytes. Of an index entry with a capital.
_SHAPES: Final = {
    "niiiiiibb": "batch",
    "ntittt": "epoch",
    "ttii": "run",
    "tb": "pair",
    "Iiii": "delivered",
    "Iti": "name",
}
_BATCH_COLUMNS: Final = 9
_HASH_SERIAL: Final = 12 + 2 * HASH_BYTES


def kind_of(cell: Cell, types: Sequence[int]) -> str | None:
    letters = "".join("n" if t == 0 else "i" if t < 10 else "b" if t % 2 == 0 else "t" for t in types)
    kind = _SHAPES.get(letters if cell.is_table else f"I{letters}")
    if kind == "batch" and types[-2] != _HASH_SERIAL:
        return None
    return kind


def in_order(cells: Sequence[Cell], index: int) -> bool:
    """The hash covers a batch's body and not its name: that has to stand between its neighbours'."""
    before = cells[index - 1].rowid if index else 0
    behind = cells[index + 1].rowid if index + 1 < len(cells) else 1 << 63
    return before < cells[index].rowid < behind


def body_bytes(cell: Cell) -> int:
    return (serials(cell)[-1] - 12) // 2


def front_of(cell: Cell) -> tuple[int, int, int, int, int, int, bytes]:
    """The columns before the body; they are always in the cell itself. Raises Torn."""
    missing = cell.size - len(cell.local)
    own = cell.local[: cell.size - body_bytes(cell)]
    if len(own) > len(cell.local) or missing > body_bytes(cell):
        raise Torn("the columns before the body are cut short")
    found = values(own, columns=_BATCH_COLUMNS - 1)
    match found:
        case [None, int(kind), int(codec), int(raw), int(samples), int(t0), int(t1), bytes(digest)]:
            return kind, codec, raw, samples, t0, t1, digest
    raise Torn("not the columns of a batch")
