"""All figures by name, in the order in which they are measured and shown."""

from typing import Final

from bench.figure import Figure
from bench.figures import reference

FIGURES: Final[tuple[Figure, ...]] = (
    Figure("reference_line", 60, reference.run, quick_seconds=10),
)  # fmt: skip


def chosen(names: list[str], *, quick: bool) -> list[Figure]:
    """The figures of these names; without names all of them, or all that have a quick form.

    Raises KeyError with the names that no figure has.
    """
    if unknown := sorted(set(names) - {figure.name for figure in FIGURES}):
        raise KeyError(", ".join(unknown))
    if names:
        return [figure for figure in FIGURES if figure.name in names]
    return [figure for figure in FIGURES if not quick or figure.quick_seconds is not None]
