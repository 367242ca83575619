"""Libraries of drivers come into an agent that runs beside its loop."""

import sys
import threading
from pathlib import Path

import pytest

from edge_agent.app.connections import load_libraries

LIBRARY = "holdfast_test_library"


async def test_a_library_is_loaded_once_and_not_in_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """asyncua takes half a second, for which no connection would be polled."""
    (tmp_path / f"{LIBRARY}.py").write_text("import threading\nTHREAD = threading.current_thread()\n")
    monkeypatch.syspath_prepend(tmp_path)
    try:
        await load_libraries((LIBRARY,))
        loaded = sys.modules[LIBRARY]
        assert loaded.THREAD is not threading.current_thread()
        await load_libraries((LIBRARY,))
        assert sys.modules[LIBRARY] is loaded
    finally:
        sys.modules.pop(LIBRARY, None)


async def test_a_library_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ModuleNotFoundError):
        await load_libraries(("a_library_that_nobody_has",))
