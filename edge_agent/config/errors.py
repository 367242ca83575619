"""What is wrong with a config, and where: every problem at once, in the order of the file."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from edge_agent.contracts.errors import ConfigError

# More would scroll the first ones, which are the cause of the others, out of sight.
MAX_PROBLEMS: Final = 1_000


class Place(NamedTuple):
    """Where something was written. Lines and columns count from 1; None where there is no text file.

    cell: what a spreadsheet calls the column that the place is in (`C 'Data Type'`); empty elsewhere.
    """

    file: str
    line: int | None = None
    column: int | None = None
    cell: str = ""

    def __str__(self) -> str:
        return ":".join(str(part) for part in self[:3] if part is not None)


@dataclass(frozen=True, slots=True)
class Problem:
    """An error or a warning, as one line: `file:line:column: path: message`.

    path: from the document's root, list items by their name where they have one
      (`connections[press1].groups[fast].tags[oil_temp].type`), else by their index (`connections[2]`).
      Empty where the text is no document yet.
    message: what is wrong and what to do, without secrets.
    of_machine: it is about what the document names on this machine: `run` goes on without it, and
      `edge-agent check` refuses it.
    """

    place: Place
    path: str
    message: str
    of_machine: bool = False

    def __str__(self) -> str:
        return ": ".join(part for part in (str(self.place), self.path, self.message) if part)


class ConfigErrors(ConfigError):
    """Refuse the document: here is all that is wrong with it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems: tuple[Problem, ...] = tuple(problems)

    def __reduce__(self) -> tuple[type["ConfigErrors"], tuple[tuple[Problem, ...]]]:
        return type(self), (self.problems,)


class ChildFailed(ConfigErrors):
    """The process that reads a document failed, which says nothing about the document."""


def in_order(problems: Iterable[Problem], files: Sequence[str] = ()) -> list[Problem]:
    """Without repetitions, by file (in the order of `files`), line and column; at most MAX_PROBLEMS."""
    rank = {file: number for number, file in enumerate(files)}

    def key(problem: Problem) -> tuple[int, str, int, int]:
        place = problem.place
        return rank.get(place.file, len(rank)), place.file, place.line or 0, place.column or 0

    unique: dict[tuple[Place, str, str], Problem] = {}
    for problem in problems:
        # One mistake in a line that stands for many tags is one mistake, whichever of them shows it.
        path = "" if problem.place.line else problem.path
        unique.setdefault((problem.place, path, problem.message), problem)
    ordered = sorted(unique.values(), key=key)
    if len(ordered) > MAX_PROBLEMS:
        more = len(ordered) - MAX_PROBLEMS
        last = Problem(ordered[MAX_PROBLEMS].place, "", f"and {more} more problems from here on")
        ordered = [*ordered[:MAX_PROBLEMS], last]
    return ordered
