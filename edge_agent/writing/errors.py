"""Why a write is not sent."""

from edge_agent.contracts.errors import StorageFailed


class WriteFault(Exception):
    """Root of this room's errors."""


class NotAllowed(WriteFault):
    """Nothing was sent and nothing will be. code: for programs (contracts.writing.WriteReport)."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class NotJournalled(WriteFault, StorageFailed):
    """The journal cannot be written or read: nothing is sent without it."""
