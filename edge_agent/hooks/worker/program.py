"""One script that was compiled: run on frames and calls, with its state. Whatever it raises ends here."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from edge_agent.hooks.worker import faults
from edge_agent.hooks.worker.account import OF_NONE, Account, is_of_none
from edge_agent.hooks.worker.cells import Cells
from edge_agent.hooks.worker.compiling import FRAME_POINTS, Refused, compile_script
from edge_agent.hooks.worker.console import Console
from edge_agent.hooks.worker.events import CALLED, Cycle, Given, Latest, Named
from edge_agent.hooks.worker.frame import Frame, Plan
from edge_agent.hooks.worker.guards import script_globals
from edge_agent.hooks.worker.layout import Layout
from edge_agent.hooks.worker.outputs import Outputs
from edge_agent.hooks.worker.state import State

NO_SCHEMA: Final = -1


class Ran(NamedTuple):
    """Results of calls in order, and their outputs' rows."""

    results: list[Any]
    rows: list[bytes]


class Program:
    """hook: its name. What it declares is in `outputs` and `inputs`."""

    def __init__(self, hook: str, point: str, source: str) -> None:
        """Compiles and runs the module's own lines. Raises Refused; what else those raise comes out."""
        compiled = compile_script(hook, point, source)
        self.hook = hook
        self.point = point
        self.outputs = compiled.outputs
        self.inputs = compiled.inputs
        self.state = State()
        self.console = Console()
        self.lines = source.splitlines()
        self._sites = compiled.sites
        self._last_drop = compiled.last_drop
        self._plans: dict[int, Plan] = {}
        self._called_outputs = Outputs(())
        self._named = Named(compiled.inputs)
        self._latest = Latest(self._named)
        own = {"alert": self.console.alert, "print": self.console.print}
        names = script_globals(hook, own)
        exec(compiled.code, names)  # noqa: S102 what this process is for; it can do nothing but compute
        function = names.get(point)
        if not callable(function) or inspect.isgeneratorfunction(function):
            raise Refused(
                (None, f"{point} is no plain function: it has a yield, or another value took its name")
            )
        self._function: Callable[..., Any] = function
        self._takes_state = compiled.takes_state

    def plan(self, number: int, layout: Layout | None, described: Sequence[Sequence[Any]]) -> None:
        """On frames of schema `number` it has these outputs."""
        outputs = Outputs(described, self._sites)
        if layout is None:
            self._called_outputs = outputs
        else:
            self._plans[number] = Plan(layout, outputs)

    def plan_like(self, number: int, layout: Layout, like: int) -> None:
        """As on frames of schema `like`, which has the same tags."""
        self._plans[number] = self._plans[like].of(layout)

    def frames(self, heads: Sequence[dict[str, Any]], blob: memoryview, layouts: dict[int, Layout]) -> Ran:
        if self.point in FRAME_POINTS:
            return self._run(self._framed(heads, blob))
        return self._run(self._cycles(heads, blob, layouts))

    def calls(self, calls: Sequence[dict[str, Any]]) -> Ran:
        return self._run(self._happened(calls))

    def _happened(self, calls: Sequence[dict[str, Any]]) -> Iterator[Account | None]:
        make = CALLED[self.point]
        values: dict[str, Any] = {}
        for call in calls:
            values = call.get("v", values)
            yield make(self._called_outputs, Given(self._named, values), call)

    def _framed(self, heads: Sequence[dict[str, Any]], blob: memoryview) -> Iterator[Account | None]:
        at = 0
        for head in heads:
            plan, size = self._plans[head["s"]], head["n"]
            # Kept for the frames that follow, beyond the request, whose other bytes are not.
            cells = Cells(plan.layout, head, bytes(blob[at : at + size]))
            at += size
            plan.history.push(cells, head.get("k"))
            yield Frame(plan, cells)

    def _cycles(
        self, heads: Sequence[dict[str, Any]], blob: memoryview, layouts: dict[int, Layout]
    ) -> Iterator[Account | None]:
        at = 0
        for head in heads:
            size = head["n"]
            cells = Cells(layouts[head["s"]], head, bytes(blob[at : at + size]))
            at += size
            self._latest.push(cells, head.get("k"))
            yield Cycle(self._called_outputs, self._latest, cells) if head.get("run", 1) else None

    def _run(self, given: Iterator[Account | None]) -> Ran:
        results: list[Any] = []
        rows: list[bytes] = []
        for number, each in enumerate(given):
            if each is None:
                results.append(None)
                continue
            mark = self.console.begin(number)
            try:
                row, fields = self._call(each)
            except BaseException as error:  # noqa: BLE001 the boundary of hooks: SystemExit is one of its errors
                self.console.forget(mark)
                self.state.take_back()
                results.append({"error": faults.raised(error, self.hook, self.lines)})
            else:
                results.append(fields)
                rows.append(row)
        return Ran(results, rows)

    def _call(self, given: Account) -> tuple[bytes, dict[str, Any]]:
        try:
            if self._takes_state:
                self._function(given, self.state.value)
            else:
                self._function(given)
        except OF_NONE as error:
            line = faults.line_within(error, self.hook, self.point)
            if line < self._last_drop or not is_of_none(error) or not given.without_value():
                raise
            # It computed with a value that there is not: what it would have set has none either.
            self.state.take_back()
        else:
            given.end()
            if self._takes_state:
                self.state.keep()
        return given.encoded()
