"""Programs of ours with a few more types of commands, whose runs leave a line each in a file.

`python -m tests.crash.witness FILE MODULE ARGUMENTS…` runs agent or centre so. `count_once` may run once,
`count_again` more often; both say in FILE when they begin and end. `hang` never ends, `hang_hard` not even
where it is cancelled. The product knows nothing of this.
"""

import asyncio
import os
import runpy
import sys
from collections import Counter
from pathlib import Path
from typing import Any, Final, cast

from edge_agent.wire.command_types import TYPES, CommandType, Params
from edge_agent.wire.messages import Message, Name


class WitnessParams(Params):
    seconds: float = 0.0


class WitnessResult(Message):
    id: Name


EXTRA: Final = {
    each.name: each
    for each in (
        CommandType("count_once", WitnessParams, WitnessResult, 30.0, idempotent=False),
        CommandType("count_again", WitnessParams, WitnessResult, 30.0),
        CommandType("hang", WitnessParams, WitnessResult, 30.0),
        CommandType("hang_hard", WitnessParams, WitnessResult, 30.0, idempotent=False),
    )
}


class Witness:
    """What FILE says: how often each command began and ended."""

    def __init__(self, path: Path) -> None:
        lines = path.read_text().split("\n") if path.exists() else []
        self.begun = Counter(line.split()[1] for line in lines if line.startswith("begun "))
        self.ended = Counter(line.split()[1] for line in lines if line.startswith("ended "))


def _note(path: str, line: str) -> None:
    with open(path, "a") as file:  # noqa: PTH123
        file.write(f"{line}\n")
        file.flush()
        os.fsync(file.fileno())


def _extend_agent(path: str) -> None:
    from edge_agent.commands import handlers

    async def count(context: Any, params: WitnessParams) -> WitnessResult:
        _note(path, f"begun {context.id}")
        context.step(1, 2, "begun")
        context.say(f"this is {context.id}\n")
        await context.clock.sleep(params.seconds)
        context.step(2, 2, "ends")
        _note(path, f"ended {context.id}")
        return WitnessResult(id=context.id)

    async def hang(context: Any, _: WitnessParams) -> WitnessResult:
        _note(path, f"begun {context.id}")
        await asyncio.Event().wait()
        raise AssertionError

    async def hang_hard(context: Any, params: WitnessParams) -> WitnessResult:
        _note(path, f"begun {context.id}")
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                continue

    table = cast("dict[str, Any]", handlers.HANDLERS)
    table.update(count_once=count, count_again=count, hang=hang, hang_hard=hang_hard)


def _extend_centre() -> None:
    from central_sync.services.commands import types as command_types

    table = cast("dict[str, Any]", command_types.REGISTRY)
    table.update({name: command_types.OrderType(kind, "a witness") for name, kind in EXTRA.items()})


def main() -> None:
    path, module, *arguments = sys.argv[1:]
    cast("dict[str, CommandType]", TYPES).update(EXTRA)
    if "central_sync" in (module, *arguments):
        _extend_centre()
    else:
        _extend_agent(path)
    sys.argv[1:] = arguments
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
