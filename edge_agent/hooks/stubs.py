"""The typed stubs of what scripts are given, for editors; what each point of them is: `wire.hook_points`."""

from pathlib import Path
from typing import Final

STUBS: Final = "holdfast_hooks.pyi"


def stubs() -> str:
    return Path(__file__).with_name(STUBS).read_text("utf-8")
