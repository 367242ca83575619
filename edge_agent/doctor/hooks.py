"""Check `hooks`: whether scripts can run here: the layers of their sandbox, and what its compiler says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from edge_agent.contracts.diagnosis import Finding, Outcome, failed, ok, skipped, warning
from edge_agent.doctor.examination import Tell
from edge_agent.doctor.site import Site
from edge_agent.wire.messages import HooksReport

NAME: Final = "hooks"
_ON: Final = "on"
_MEND: Final = "mend the script: `edge-agent hook test FILE` shows what it does"


@dataclass(frozen=True, slots=True)
class Tried:
    """layers: of the sandbox by name, each `on` or why it is not. problems: of scripts, with their places.
    fault: why neither is known."""

    layers: Mapping[str, str]
    problems: Sequence[str] = ()
    fault: str = ""


class Trier(Protocol):
    async def try_scripts(self, site: Site) -> Tried:
        """Compiles the local scripts in a sandbox of their kind."""
        ...


def judge_layers(layers: Mapping[str, str], require: Sequence[str]) -> list[Finding]:
    """A layer is not everybody's need: without one the others still hold (docs/hooks-sandbox.md)."""
    found: list[Finding] = []
    for name, state in layers.items():
        if state == _ON:
            continue
        if name in require:
            remedy = f"use a kernel that has it, or take {name} off hooks.require"
            found.append(
                failed(f"hooks.require names {name}, and it is not on: {state}: no hook runs", remedy)
            )
        else:
            remedy = "see docs/hooks-sandbox.md for what holds without it; hooks.require refuses to run so"
            found.append(warning(f"the sandbox is without {name}: {state}", remedy))
    names = ", ".join(name for name, state in layers.items() if state == _ON)
    return found or [ok(f"the sandbox is whole: {names}")]


def judge_running(report: HooksReport) -> list[Finding]:
    """Of an agent that runs: how its hooks are. Local ones that were refused are told as they are tried."""
    ill = [
        each
        for each in report.hooks
        if each.state == "off" or (each.state == "refused" and each.origin != "local")
    ]
    return [
        failed(
            f"{each.name} is {each.state}: {'' if each.line is None else f'line {each.line}: '}{each.error}",
            _MEND,
        )
        for each in ill
    ]


def judge_tried(tried: Tried, require: Sequence[str], scripts: int) -> list[Finding]:
    if tried.fault:
        return [failed(f"no script can be run: {tried.fault}", "see docs/hooks-sandbox.md")]
    broken = [failed(problem, _MEND) for problem in tried.problems]
    well = [] if broken else [ok(f"{scripts} script{'' if scripts == 1 else 's'} compiled")]
    return [*broken, *well, *judge_layers(tried.layers, require)]


class Hooks:
    """Compiles the local scripts, and asks an agent that runs how its hooks are."""

    name = NAME
    needs = ("config",)
    seconds = 30.0

    def __init__(self, trier: Trier) -> None:
        self._trier = trier

    async def run(self, site: Site, tell: Tell) -> None:
        running = None if site.running is None else site.running.hooks
        hooks = site.valid.hooks
        if not hooks.scripts and (running is None or not running.hooks):
            tell(Outcome(NAME, (skipped("there are no scripts"),)))
            return
        tried = await self._trier.try_scripts(site)
        layers = tried.layers
        if running is not None and running.layers:
            # Of the agent's own service, which may be confined otherwise than whoever examines.
            tried = Tried(running.layers, tried.problems, tried.fault)
        elif not layers and not tried.fault:
            tried = Tried({}, tried.problems, "the sandbox told nothing of its layers")
        found = judge_tried(tried, hooks.require, len(hooks.scripts))
        tell(Outcome(NAME, (*found, *(judge_running(running) if running is not None else ()))))
