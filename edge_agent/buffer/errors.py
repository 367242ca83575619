"""What can go wrong in the buffer, by what the caller must do."""


class BufferFault(Exception):
    """Root of this room's errors."""


class NewerDatabase(BufferFault):
    """The database was written by a newer version: refuse to start rather than damage it."""


class NotStored(BufferFault):
    """A commit failed: nothing of it is stored, keep what you have and try again."""
