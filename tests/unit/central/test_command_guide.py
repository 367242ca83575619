"""The guide's table of command types is the registry."""

from pathlib import Path

from central_sync.services.commands.types import REGISTRY, OrderType

GUIDE = Path(__file__).parents[3] / "docs/commands.md"


def _row(kind: OrderType) -> str:
    wire = kind.wire
    cells = [
        f"`{kind.name}`",
        kind.description,
        str(kind.role),
        "yes" if kind.dangerous else "no",
        f"{wire.timeout_seconds:.0f} s ({wire.max_timeout_seconds:.0f} s)",
        "may run again" if wire.idempotent else "unknown",
    ]
    return f"| {' | '.join(cells)} |"


def test_the_guides_table_of_types_is_the_registry() -> None:
    lines = GUIDE.read_text(encoding="utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("| type |")) + 2
    assert lines[start : start + len(REGISTRY) + 1] == [*map(_row, REGISTRY.values()), ""]
