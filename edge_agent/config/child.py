"""Validates in a child process: 20,000 tags take seconds, in which polling must keep its rhythm.

The child is a fresh interpreter that gets a pickled call on its standard input and answers, pickled, on
its standard output. No process pool: that would leave multiprocessing's resource tracker running for
good, and could not be stopped when the reload is cancelled.
"""

import asyncio
import gc
import os
import pickle
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeVar

from edge_agent.config.errors import ConfigErrors, Place, Problem
from edge_agent.config.load import Loaded, load
from edge_agent.config.models import Document
from edge_agent.config.remote import merge_remote
from edge_agent.config.validate import SettingsLookup
from edge_agent.wire.messages import ConfigEnvelope

TIMEOUT_SECONDS: Final = 120.0
_Result = TypeVar("_Result")


async def load_in_child(
    path: Path, lookup: SettingsLookup, environ: Mapping[str, str], timeout_seconds: float = TIMEOUT_SECONDS
) -> Loaded:
    """`load` in a child process. `lookup` is a function of a module: the child imports it by its name.

    Raises ConfigErrors, also where the child took too long or was killed. Cancelling kills the child.
    """
    return await _call(load, (path, lookup, dict(environ)), str(path), timeout_seconds)


async def merge_in_child(
    loaded: Loaded,
    envelope: ConfigEnvelope,
    lookup: SettingsLookup,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> Document:
    """`merge_remote` in a child process, as `load_in_child`."""
    local = loaded
    if "connections" in envelope.sections:  # they are replaced whole: spare them the way there
        local = replace(loaded, document=loaded.document.model_copy(update={"connections": []}))
    place = f"centre config version {envelope.version}"
    return await _call(merge_remote, (local, envelope, lookup), place, timeout_seconds)


async def _call(
    function: Callable[..., _Result], arguments: tuple[Any, ...], place: str, timeout_seconds: float
) -> _Result:
    request = pickle.dumps((function, arguments))
    # The child finds what this process finds, and nothing because of where it is started.
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(each or os.curdir for each in sys.path)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", __name__, env=environ,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(timeout_seconds):
            answer, _ = await process.communicate(request)
    except TimeoutError:
        raise _failed(place, f"reading it took longer than {timeout_seconds:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise _failed(place, f"the process that reads it ended with code {process.returncode}")
    # In a thread, since it builds every model anew; it lets go of the interpreter between them.
    result = await asyncio.to_thread(pickle.loads, answer)
    if isinstance(result, ConfigErrors):
        raise result
    return result  # type: ignore[no-any-return]


def _failed(place: str, message: str) -> ConfigErrors:
    return ConfigErrors([Problem(Place(place), "", message)])


def main() -> None:
    """The child. Whatever a driver's import prints goes to standard error."""
    gc.disable()  # one call and out: collecting would take a third of the time and free nothing
    answers = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    function, arguments = pickle.loads(sys.stdin.buffer.read())  # noqa: S301 from our own parent
    try:
        result = function(*arguments)
    except ConfigErrors as errors:
        result = errors
    with os.fdopen(answers, "wb") as stream:
        pickle.dump(result, stream)


if __name__ == "__main__":
    main()
