"""What is still to be said of one command: its newest state, its progress and its output. Pure.

One report at a time is on its way, and it is repeated as it is until the centre has it. What happens
meanwhile comes together in the next: progress is only ever the newest, output goes by offset, and the end
comes last.
"""

from typing import Final

from edge_agent.commands.entry import Entry, Outcome
from edge_agent.wire.commands import (
    MAX_LOG_BYTES,
    MAX_LOG_PART_BYTES,
    CommandReport,
    CommandState,
    LogPart,
)

# Progress and output wait for company.
APART_SECONDS: Final = 1.0
REPORT_REFUSED: Final = "report_refused"
_TEXT: Final = 2_000
_CUT: Final = "\n[more output is left out]\n"


class Outgoing:
    """Follows `entry`, of which it numbers the reports."""

    def __init__(self, entry: Entry) -> None:
        self._entry = entry
        self._message = ""
        self._step = self._steps = 0
        self._state = entry.state
        # The state, or how it ended.
        self._changed = entry.pending is None or entry.pending.state is not entry.state
        self._moved = False
        self._base = entry.log_end
        # After a restart what had ended left the rest of its output in the journal.
        self._log = bytearray(entry.log.encode()[max(0, entry.log_end - entry.log_base) :])
        self._full = False
        self._said_at = float("-inf")

    # --- what happens ----------------------------------------------------------------------------

    def state(self, state: CommandState) -> None:
        """One that is not final: it is delivered, accepted or runs."""
        self._state, self._changed = state, True

    def step(self, step: int, steps: int, message: str) -> None:
        self._step, self._steps, self._message = step, max(step, steps), message[:_TEXT]
        self._moved = True

    def say(self, text: str) -> None:
        """Output. What is beyond the bound of one command is left out, and said so."""
        if self._full or not text:
            return
        data = text.encode("utf-8", "replace")
        room = MAX_LOG_BYTES - len(_CUT) - self._base - len(self._log)
        if len(data) > room:
            data = _whole(data[: max(0, room)]) + _CUT.encode()
            self._full = True
        self._log += data

    def end(self, outcome: Outcome) -> None:
        self._state, self._changed = outcome.state, True

    def again(self) -> None:
        """The centre seems not to know what it was told."""
        self._changed = True

    @property
    def left(self) -> tuple[int, str]:
        """Where the output that no report has yet begins, and it."""
        return self._base, self._log.decode()

    # --- what is said of it ----------------------------------------------------------------------

    def due_at(self) -> float | None:
        """From when on (monotonic seconds) there is something to report; None: there is nothing."""
        if self._entry.pending is not None or self._changed or (self._entry.is_final and self._log):
            return float("-inf")
        return self._said_at + APART_SECONDS if self._moved or self._log else None

    def next(self, wall_ms: int, now: float) -> CommandReport | None:
        """The report on its way, or the next one, which is in the entry then and not yet in the journal."""
        entry = self._entry
        if entry.pending is not None:
            return entry.pending
        if not (self._changed or self._moved or self._log):
            return None
        part = _whole(bytes(self._log[:MAX_LOG_PART_BYTES]))
        rest = len(self._log) - len(part)
        outcome = entry.outcome if not rest else None
        state = self._state if outcome is not None or not entry.is_final else CommandState.RUNNING
        entry.no += 1
        entry.pending = CommandReport(
            no=entry.no,
            state=state,
            time=wall_ms,
            step=self._step,
            steps=self._steps,
            message=(outcome.message if outcome is not None else self._message)[:_TEXT],
            code="" if outcome is None else outcome.code[:64],
            result=None if outcome is None else outcome.result,
            log=LogPart(offset=self._base, text=part.decode()) if part else None,
        )
        del self._log[: len(part)]
        self._base += len(part)
        entry.log_end = self._base
        self._changed = self._changed and bool(rest)
        self._moved = False
        self._said_at = now
        return entry.pending

    def acknowledged(self, no: int) -> bool:
        """The centre has this report. True: it knows the end of the command."""
        entry = self._entry
        if entry.pending is None or entry.pending.no != no:
            return False
        ended = entry.is_final and entry.pending.state is entry.state and not self._changed and not self._log
        entry.pending = None
        return ended

    def strip(self, no: int) -> bool:
        """The centre will not take the report: under its number goes one that only says the state. False:
        it did so already."""
        entry, pending = self._entry, self._entry.pending
        if pending is None or pending.no != no:
            return True
        if pending.code == REPORT_REFUSED and pending.result is None and pending.log is None:
            return False
        entry.pending = CommandReport(no=no, state=pending.state, time=pending.time, code=REPORT_REFUSED)
        return True


def _whole(data: bytes) -> bytes:
    """Without the beginning of a character at its end."""
    return data.decode("utf-8", "ignore").encode()
