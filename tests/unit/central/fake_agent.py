"""A program in place of the agent that tries scripts: it answers at once, as the test says."""

import sys
from pathlib import Path

# It ends its input's reading first, as the agent does.
_PROGRAM = """\
import os, sys
request = sys.stdin.buffer.read()
sys.stdout.buffer.flush()
"""


def fake_agent(folder: Path, then: str) -> list[str]:
    """A command for `Settings.agent_command`. then: Python that is run with `request`, the bytes it was
    asked."""
    file = folder / "agent.py"
    file.write_text(_PROGRAM + then, encoding="utf-8")
    return [sys.executable, "-S", "-E", str(file)]


TAKES_ALL = "print('{\"ok\": true}')\n"
REFUSES_ALL = (
    'print(\'{"ok": false, "error": {"kind": "refused", "type": "SyntaxError", "message": "no", "line": 3, '
    '"source": "x ="}}\')\nsys.exit(1)\n'
)
CANNOT = 'print("edge-agent: hooks: pip install holdfast[hooks]", file=sys.stderr)\nsys.exit(3)\n'
