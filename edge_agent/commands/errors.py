"""What a command can end in that is not its result."""

from edge_agent.contracts.errors import StorageFailed


class CommandFault(Exception):
    """Root of this room's errors."""


class Refused(CommandFault):
    """It may not or cannot run here: rejected, nothing was done. code: for programs."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Failed(CommandFault):
    """It was tried and did not succeed. code: for programs."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class NotKnown(CommandFault):
    """It may or may not have been done, and is not done again: unknown. code: for programs."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class JournalFailed(CommandFault, StorageFailed):
    """The journal could not be written or read: nothing is done without it; try again."""


class JournalDamaged(JournalFailed):
    """The journal's file is corrupt: set it aside and begin another."""
