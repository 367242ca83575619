"""Scripts compiled before they are taken, in the sandbox that they would run in: for a reload, for the
centre's set, and for `edge-agent check`. Imports nothing of the room `hooks` where there is none.
"""

import asyncio
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from edge_agent.config.errors import ConfigErrors, Place, Problem
from edge_agent.config.load import Loaded
from edge_agent.config.scripts import LocalScript
from edge_agent.contracts.errors import ConfigError, Unavailable
from edge_agent.wire.scripts import Script

if TYPE_CHECKING:
    from edge_agent.hooks.trial import Refusal


async def compiled(scripts: Sequence[Script], require: Collection[str]) -> "list[Refusal]":
    """Those that cannot run, and why, as the sandbox's compiler says. Raises Unavailable where no process
    can be started, or the kernel lacks a layer that is required: that is no fault of theirs."""
    if not scripts:
        return []
    from edge_agent.hooks.errors import NotConfined
    from edge_agent.hooks.trial import try_scripts

    try:
        trial = await try_scripts(scripts, require)
    except NotConfined as error:
        raise Unavailable(str(error)) from error
    return trial.refusals


async def compile_local(scripts: Sequence[LocalScript], require: Collection[str]) -> None:
    """Raises ConfigErrors, with file and line, and what `compiled` does."""
    refusals = await compiled([each.script for each in scripts], require)
    places = {each.script.name: each for each in scripts}
    problems = [places[each.script.name].problem(each.message, each.line) for each in refusals]
    if problems:
        raise ConfigErrors(problems)


async def compile_sent(scripts: Sequence[Script], require: Collection[str]) -> None:
    """Of the centre. Raises ConfigError, a line for each script, and what `compiled` does."""
    refusals = await compiled(scripts, require)
    if refusals:
        raise ConfigError("\n".join(_said(each) for each in refusals))


def script_problems(loaded: Loaded) -> list[Problem]:
    """What is wrong with the scripts of a config. Of this machine is what it lacks to run any."""
    try:
        asyncio.run(compile_local(loaded.scripts, loaded.document.hooks.require))
    except ConfigErrors as error:
        return list(error.problems)
    except Unavailable as error:
        place = Place(str(loaded.files[0]))
        return [Problem(place, "hooks", str(error), of_machine=True)]
    return []


def _said(refusal: "Refusal") -> str:
    line = "" if refusal.line is None else f"line {refusal.line}: "
    return f"{refusal.script.name}: {line}{refusal.message}"
