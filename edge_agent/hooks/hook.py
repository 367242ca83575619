"""One script as the stage knows it: its breaker, its state, its figures, and what runs it now."""

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from edge_agent.contracts.clock import Clock
from edge_agent.hooks.allowance import Allowance
from edge_agent.hooks.breaker import HookBreaker
from edge_agent.hooks.latest import Group
from edge_agent.hooks.runner import Failure, Outputs, Runner
from edge_agent.wire.messages import HookReport
from edge_agent.wire.scripts import OnFailure, Script, covers

# Of the latest calls, from which percentiles are told.
_TIMES: Final = 500
# Of a call's usual time, which is a quarter of a flush.
_MOST_SHARE: Final = 1.8
# Remembered; a config that has had more is looked at anew.
_MOST_GROUPS: Final = 10_000
_KEPT_BACK: Final = "its text may name a value that is withheld, and is not told"


class Hook:
    """It outlives workers and, while its digest stays, changes of other scripts.

    state: as JSON, the last that was accepted; None: not asked for yet. refused: why it can never run as it
    is; blocked: why it cannot now; awaited: why no worker can be started. runner: None until its worker has
    compiled it. is_discreet: a script beside it, or itself, withholds values, which texts of errors may name.
    """

    def __init__(self, script: Script, clock: Clock) -> None:
        self.script = script
        # Of 64 KiB it takes half a millisecond, and each look at the status asks for that of all hooks.
        self.sha256 = script.sha256
        self.state: bytes | None = None
        self.breaker = HookBreaker()
        self.allowance = Allowance()
        self.runner: Runner | None = None
        self.outputs: Outputs | None = None
        self.refused: str | None = None
        self.blocked = ""
        self.awaited = ""
        self.is_discreet = False
        self._clock = clock
        self._error = ""
        self._line: int | None = None
        self._since = clock.wall_ms()
        self._shown = "starting"
        self._calls = self._failures = self._kills = self._bad_samples = 0
        self._prints = ""
        self._times: deque[float] = deque(maxlen=_TIMES)
        self._covers: dict[Group, bool] = {}

    @property
    def name(self) -> str:
        return self.script.name

    @property
    def withholds(self) -> bool:
        return self.script.on_failure is OnFailure.WITHHOLD

    def covers(self, group: Group) -> bool:
        """Whether it is for a group; compared once: a set may have many patterns, and a flush many groups."""
        found = self._covers.get(group)
        if found is None:
            if len(self._covers) >= _MOST_GROUPS:
                self._covers.clear()
            found = self._covers[group] = covers(self.script.groups, *group)
        return found

    def seconds(self, call_seconds: float) -> float:
        """What a call may take: less than a flush has, or a script that never ends would be cut off with the
        flush each time, which is held against nobody."""
        own = self.script.timeout_ms
        return call_seconds if own is None else min(own / 1_000, _MOST_SHARE * call_seconds)

    @property
    def is_starting(self) -> bool:
        """Whether there will be a worker soon."""
        if self.refused is not None or self.blocked or not self.breaker.allows(self._clock.monotonic()):
            return False
        return self.runner is None or not self.runner.link.is_alive

    def unable(self) -> Failure | None:
        """Why it cannot be asked now; None where it can."""
        if self.refused is not None:
            return Failure("ScriptRefused", self.refused, self._line, blameless=True)
        if not self.breaker.allows(self._clock.monotonic()):
            return Failure("HookOff", f"the hook is off: {self._error}", self._line, blameless=True)
        if self.blocked:
            return Failure("NotConfined", self.blocked, blameless=True)
        if self.is_starting:
            return Failure("WorkerGone", "its worker is being started", blameless=True)
        return None

    # --- what befell it --------------------------------------------------------------------------

    def loaded(self, runner: Runner, outputs: Outputs) -> None:
        self.runner, self.outputs = runner, outputs
        self.refused, self.awaited = None, ""
        self._look()

    def cannot(self, why: str, line: int | None = None) -> None:
        """It was refused: it is not tried again."""
        self.runner, self.refused, self._line, self._error = None, why, line, why
        self._look()

    def called(self, seconds: float, prints: str, failures: Sequence[Failure]) -> None:
        """A call came back. failures: of its frames or calls that have no result."""
        self._calls += 1
        self._times.append(seconds)
        if prints:
            self._prints = prints
        if failures:
            self._failures += 1
            told = failures[-1]
            self.told(replace(told, message=_KEPT_BACK) if self.is_discreet else told)

    def killed(self, failure: Failure) -> None:
        self._calls += 1
        self._failures += 1
        self._kills += 1
        self.told(failure)

    def told(self, failure: Failure) -> None:
        self._error, self._line = f"{failure.kind}: {failure.message}"[:1_000], failure.line

    def spoiled(self, samples: int) -> None:
        self._bad_samples += samples

    def succeeded(self) -> bool:
        """Whether it is back with this."""
        back = self.breaker.succeeded()
        self._look()
        return back

    def failed(self) -> bool:
        """Whether it is off with this."""
        off = self.breaker.failed(self._clock.monotonic())
        self._look()
        return off

    # --- telling ---------------------------------------------------------------------------------

    @property
    def error(self) -> str:
        return self._error

    def _state(self) -> str:
        if self.refused is not None or self.blocked:
            return "refused"
        if self.breaker.is_off:
            return "off"
        return "running" if self.runner is not None and self.runner.link.is_alive else "starting"

    def _look(self) -> None:
        """Notes since when it is in its state."""
        now = self._state()
        if now != self._shown:
            self._shown, self._since = now, self._clock.wall_ms()

    def report(self) -> HookReport:
        self._look()
        script, times = self.script, sorted(self._times)
        retry_ms = None
        if self.breaker.is_off:
            left = max(0.0, self.breaker.retry_at - self._clock.monotonic())
            retry_ms = self._clock.wall_ms() + int(left * 1_000)
        return HookReport(
            name=script.name,
            hook_type=str(script.hook_type),
            state=self._shown,
            origin="centre" if script.version else "local",
            version=script.version,
            sha256=self.sha256,
            error=(self.blocked or self.awaited or self._error)[:1_000],
            line=self._line,
            since=max(0, self._since),
            calls=self._calls,
            failures=self._failures,
            kills=self._kills,
            bad_samples=self._bad_samples,
            p50_ms=_share(times, 0.5),
            p99_ms=_share(times, 0.99),
            next_try=retry_ms,
            prints=self._prints,
        )


def _share(times: Sequence[float], share: float) -> float | None:
    """The time, in milliseconds, that so many calls do not exceed."""
    if not times:
        return None
    return round(times[min(len(times) - 1, int(share * len(times)))] * 1_000, 3)
