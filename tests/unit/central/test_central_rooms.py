"""What import-linter's layers cannot say: the command line knows the app alone."""

import ast
from pathlib import Path

from central_sync import cli


def test_the_command_line_imports_the_app_alone() -> None:
    found: set[str] = set()
    for path in Path(cli.__path__[0]).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("central_sync"):
                found |= {f"{node.module}.{name.name}" for name in node.names}
    own = ("central_sync.cli.", "central_sync.app.")
    assert {name for name in found if not name.startswith(own)} == {
        "central_sync.VERSION",
        "central_sync.app",
    }
