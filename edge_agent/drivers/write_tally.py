"""Where simulators of PLCs tell of each request to write that reaches them.

The environment variable HOLDFAST_WRITE_TALLY names a file, and every simulator in every process appends a
line to it for each such request, carried out or not. So a run of whatever size can show that nothing was
written: the file is empty. Without the variable nothing is told.
"""

import os
import threading
from pathlib import Path
from typing import Final

VARIABLE: Final = "HOLDFAST_WRITE_TALLY"
_LOCK: Final = threading.Lock()


def tell_write(simulator: str, what: str) -> None:
    """simulator: the driver's name. what: the request, in the protocol's words. From any thread."""
    name = os.environ.get(VARIABLE)
    if not name:
        return
    line = f"{simulator}: {what}".replace("\n", " ")[:500]
    with _LOCK, Path(name).open("a", encoding="utf-8") as file:
        file.write(line + "\n")
