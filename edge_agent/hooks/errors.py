"""What can go wrong with a hook. A class says what the caller must do."""


class HookFault(Exception):
    """Root of the room: this hook did not do its work; its samples go on as they were."""


class ScriptRefused(HookFault):
    """The script can never run as it is: it does not compile, declares what cannot be, or is not signed.

    line: of the source, where that is known.
    """

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


class WorkerGone(HookFault):
    """The process ended or was killed: begin another one. The message says why."""


class TimedOut(WorkerGone):
    """It did not answer in time, and was killed."""


class BadReply(WorkerGone):
    """It answered with what cannot be an answer; it was killed, since nobody knows what it is any more."""


class NotConfined(HookFault):
    """The kernel lacks a layer of the sandbox that `hooks.require` names: no hook runs."""


class OutOfTime(HookFault):
    """Others have used up the time that there is: nothing is held against the hook."""
