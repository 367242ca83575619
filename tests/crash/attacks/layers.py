"""What each layer of the sandbox lets through where it is alone: measured, and as docs/hooks-sandbox.md says.

`python -m tests.crash.attacks.layers` prints the table for that page.
"""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any, Final

from edge_agent.hooks.layers import LAYERS

ROOT: Final = Path(__file__).parents[3]
PAGE: Final = ROOT / "docs" / "hooks-sandbox.md"
# The kernel gives neither Landlock nor a filter to a process that may still gain rights. `privileges` takes
# nothing from an agent that is not root, and is no column.
COLUMNS: Final = {
    "none": (),
    "rlimits": ("rlimits",),
    "parent_death": ("parent_death",),
    "no_new_privs": ("no_new_privs",),
    "landlock": ("no_new_privs", "landlock"),
    "seccomp": ("no_new_privs", "seccomp"),
    "all but seccomp": ("rlimits", "parent_death", "no_new_privs", "landlock"),
    "all": LAYERS,
}
# Before these versions of Landlock's ABI it lets them through.
SINCE_ABI: Final = {
    "connect_tcp": 4, "listen_tcp": 4, "use_device": 5, "connect_abstract": 6, "signal_agent": 6,
    "signal_group_of_agent": 6, "signal_thread_of_agent": 6, "signal_agent_by_descriptor": 6,
}  # fmt: skip
_SECONDS: Final = 110
HEAD: Final = "| what is tried | " + " | ".join(COLUMNS) + " |"


def payloads() -> list[str]:
    """Their names, without running anything of theirs in this process."""
    return [
        line.removeprefix("def ").partition("(")[0]
        for name in ("payloads.py", "kernel_payloads.py")
        for line in (Path(__file__).parent / name).read_text().splitlines()
        if line.endswith("(facts: Facts) -> str:")
    ]


@cache
def measured() -> dict[str, Any]:
    """Of each column: what the layers were, what each payload reached, what an outsider saw."""
    done = subprocess.run(
        [
            sys.executable, "-m", "tests.crash.attacks.stand", ",".join(payloads()),
            *(f"{name}={','.join(layers)}" for name, layers in COLUMNS.items()),
        ],
        cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=_SECONDS,
    )  # fmt: skip
    assert done.returncode == 0, f"the agent that was attacked ended with {done.returncode}: {done.stderr}"
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def through(column: str) -> set[str]:
    return {name for name, how in measured()[column]["reached"].items() if how is not None}


def documented() -> dict[str, set[str]]:
    """Of each column, what the page's table says that gets through."""
    _, found, rest = PAGE.read_text().partition(HEAD)
    assert found, f"{PAGE.name} has no table that begins with {HEAD}"
    columns: dict[str, set[str]] = {name: set() for name in COLUMNS}
    for line in rest.splitlines()[2:]:
        if not line.startswith("|"):
            break
        names, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        for column, cell in zip(COLUMNS, cells, strict=True):
            if cell == "through":
                columns[column] |= {name.strip().replace(" ", "_") for name in names.split(",")}
    return columns


def table() -> str:
    """One line for all payloads that the same layers hold."""
    rows: dict[tuple[bool, ...], list[str]] = {}
    for name in payloads():
        rows.setdefault(tuple(name in through(each) for each in COLUMNS), []).append(name.replace("_", " "))
    lines = [HEAD, "| --- " * (len(COLUMNS) + 1) + "|"]
    for pattern, names in sorted(rows.items(), key=lambda row: sum(row[0])):
        cells = ("through" if each else "held" for each in pattern)
        lines.append(f"| {', '.join(names)} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
