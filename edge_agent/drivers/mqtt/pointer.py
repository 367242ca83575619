"""JSON pointers (RFC 6901): `/values/0/temp`. Pure."""

from typing import Any, Final

from edge_agent.drivers.mqtt.errors import Absent

MAX_STEPS: Final = 64
# As RFC 6901, 4: no leading zeros. Longer ones are no index of anything that fits into a message.
_MAX_DIGITS: Final = 9


def parse_pointer(text: str) -> tuple[str, ...]:
    """The reference tokens. Raises ValueError."""
    if text and not text.startswith("/"):
        raise ValueError(f"{text!r} is no JSON pointer: it begins with a slash, such as /value")
    steps = text.split("/")[1:]
    if len(steps) > MAX_STEPS:
        raise ValueError(f"a JSON pointer has at most {MAX_STEPS} steps")
    for step in steps:
        if "~" in step.replace("~0", "").replace("~1", ""):
            raise ValueError(f"{text!r}: in a JSON pointer ~ is written ~0 and / is written ~1")
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in steps)


def resolve(document: Any, steps: tuple[str, ...]) -> Any:
    """What stands there. Raises Absent."""
    found = document
    for step in steps:
        if isinstance(found, dict):
            if step not in found:
                raise Absent(f"there is no {step!r}")
            found = found[step]
        elif isinstance(found, list):
            found = found[_index(step, len(found))]
        else:
            raise Absent(f"there is nothing below a single value, and no {step!r}")
    return found


def _index(step: str, length: int) -> int:
    good = step.isascii() and step.isdigit() and len(step) <= _MAX_DIGITS and (step == "0" or step[0] != "0")
    if not good or int(step) >= length:
        raise Absent(f"{step!r} is no place in an array of {length}")
    return int(step)
