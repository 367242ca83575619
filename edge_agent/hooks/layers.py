"""The layers of the sandbox by name, in the order in which a worker takes them on. What each does:
docs/hooks-sandbox.md. Pure; both sides import it."""

from collections.abc import Collection, Mapping
from typing import Final

ON: Final = "on"
LAYERS: Final = ("privileges", "rlimits", "parent_death", "no_new_privs", "landlock", "seccomp")


def lacking(layers: Mapping[str, str], require: Collection[str]) -> dict[str, str]:
    """Of the layers that are required, those that are not on, each with why."""
    found = {name: layers.get(name, "not reported") for name in require}
    return {name: why for name, why in found.items() if why != ON}
