"""What went wrong in a script, as its author must read it: kind, message, and his own lines alone. Pure."""

from collections.abc import Sequence
from typing import Any, Final

from edge_agent.hooks.worker.compiling import Refused, file_name

_MOST_CHARACTERS: Final = 500
_MOST_LINES: Final = 10


def refused(error: Refused) -> dict[str, Any]:
    """The first thing that is wrong, with the lines of the others."""
    (line, message), *others = error.errors
    if others:
        lines = ", ".join(str(at) for at, _ in others if at)
        message = f"{message}; {len(others)} more in line {lines}"
    told = [f"line {at}: {text}" if at else text for at, text in error.errors]
    return {
        "type": "ScriptRefused",
        "message": message[:_MOST_CHARACTERS],
        "line": line,
        "traceback": "\n".join(told) if others else "",
    }


def raised(error: BaseException, hook: str, source: Sequence[str]) -> dict[str, Any]:
    """An exception that came out of a script. `source`: its lines."""
    name = file_name(hook)
    places: list[tuple[int, str]] = []
    step = error.__traceback__
    while step is not None:
        code = step.tb_frame.f_code
        if code.co_filename == name:
            place = (step.tb_lineno, code.co_name)
            if place[1] != "<lambda>" or not places or places[-1][0] != place[0]:
                places.append(place)
        step = step.tb_next
    shown = places if len(places) <= _MOST_LINES else places[: _MOST_LINES // 2] + places[-_MOST_LINES // 2 :]
    lines = [f"line {line}, in {function}: {_source_line(source, line)}" for line, function in shown]
    return {
        "type": type(error).__name__[:100],
        "message": message_of(error),
        "line": places[-1][0] if places else None,
        "traceback": "\n".join(lines),
    }


def line_within(error: BaseException, hook: str, function: str) -> int:
    """In which line of this function it came about."""
    step = error.__traceback__
    while step is not None:
        code = step.tb_frame.f_code
        if code.co_filename == file_name(hook) and code.co_name == function:
            return step.tb_lineno
        step = step.tb_next
    return 0


def _source_line(source: Sequence[str], line: int) -> str:
    return source[line - 1].strip()[:200] if 0 < line <= len(source) else ""


def message_of(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return "more memory than a script may have"
    if isinstance(error, RecursionError):
        return "functions call each other too deeply"
    try:
        # KeyError shows its argument as a literal; ours are sentences.
        text = error.args[0] if isinstance(error, KeyError) and error.args else str(error)
        words = text if isinstance(text, str) else repr(text)
    except Exception as inner:  # noqa: BLE001 the script's own __str__ may raise anything
        words = f"{type(inner).__name__} while it was told"
    return words[:_MOST_CHARACTERS].encode("utf-8", "replace").decode()
