"""Runs what is slow and wasteful about configs in a child process.

20,000 tags take seconds to read and validate, in which polling must keep its rhythm, and their models
take memory that a process does not give back. What comes back pickled should be small: it is unpickled in
one go. No process pool: that would leave multiprocessing's resource tracker running for good, and could
not be stopped when the reload is cancelled.
"""

import asyncio
import gc
import os
import pickle
import sys
import traceback
from collections.abc import Callable
from typing import Any, BinaryIO, Final, Generic, NoReturn, TypeVar

from edge_agent.config.errors import ChildFailed, Place, Problem
from edge_agent.contracts.errors import ConfigError

TIMEOUT_SECONDS: Final = 120.0
_Result = TypeVar("_Result")


class Fork(Generic[_Result]):
    """A call before the agent's loop and threads begin: a fork starts at once, with all that is imported.

    What the call allocates is never this process's: the models of a large config would leave it a third
    larger for good. `place` names what is read, in the ChildFailed for a child that was killed.
    """

    def __init__(self, function: Callable[..., _Result], arguments: tuple[Any, ...], place: str) -> None:
        self._place = place
        self._answer, writing = os.pipe()
        self._child = os.fork()
        if self._child == 0:
            os.close(self._answer)  # else the child would wait for itself once nobody else reads
            _answer_and_exit(function, arguments, writing)
        os.close(writing)

    def result(self) -> _Result:
        """Waits for the child. To be called once. Raises the ConfigError of the call."""
        with os.fdopen(self._answer, "rb") as stream:
            answer = stream.read()
        code = os.waitstatus_to_exitcode(os.waitpid(self._child, 0)[1])
        result: _Result = _result(answer, code, self._place)
        return result


def _answer_and_exit(function: Callable[..., Any], arguments: tuple[Any, ...], writing: int) -> NoReturn:
    code = os.EX_SOFTWARE
    try:
        with os.fdopen(writing, "wb") as stream:
            _answer(function, arguments, stream)
        code = os.EX_OK
    finally:
        error = sys.exception()
        # A start that was ended by a signal waits for no answer, and that is nobody's fault.
        if error is not None and not isinstance(error, BrokenPipeError):
            traceback.print_exception(error)
        sys.stderr.flush()
        os._exit(code)  # nothing of the parent's is flushed or closed a second time


async def call_in_child(
    function: Callable[..., _Result],
    arguments: tuple[Any, ...],
    place: str,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> _Result:
    """Calls in a fresh interpreter, while the loop runs. `function` belongs to a module, as do functions
    among the arguments: the child imports them by their names.

    Raises the ConfigError of the call, and ChildFailed where there was no child, or it took too long or was
    killed. Cancelling kills the child.
    """
    request = pickle.dumps((function, arguments))
    # The child finds what this process finds, and nothing because of where it is started.
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(each or os.curdir for each in sys.path)}
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", __name__, env=environ,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
    except OSError as error:
        raise _failed(place, f"no process can be started to read it: {error.strerror}") from error
    try:
        async with asyncio.timeout(timeout_seconds):
            answer, _ = await process.communicate(request)
    except TimeoutError:
        raise _failed(place, f"reading it took longer than {timeout_seconds:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    result: _Result = _result(answer, process.returncode, place)
    return result


def _result(answer: bytes, code: int | None, place: str) -> Any:
    if code != 0:
        raise _failed(place, f"the process that reads it ended with code {code}")
    result = pickle.loads(answer)  # noqa: S301 from our own child
    if isinstance(result, ConfigError):
        raise result
    return result


def _failed(place: str, message: str) -> ChildFailed:
    return ChildFailed([Problem(Place(place), "", message)])


def _answer(function: Callable[..., Any], arguments: tuple[Any, ...], stream: BinaryIO) -> None:
    gc.disable()  # one call and out: collecting would take a third of the time and free nothing
    try:
        result = function(*arguments)
    except ConfigError as error:
        result = error
    pickle.dump(result, stream)


def main() -> None:
    """The child. Whatever a driver's import prints goes to standard error."""
    os.nice(10)  # the agent polls while this computes
    answers = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    function, arguments = pickle.loads(sys.stdin.buffer.read())  # noqa: S301 from our own parent
    with os.fdopen(answers, "wb") as stream:
        _answer(function, arguments, stream)


if __name__ == "__main__":
    main()
