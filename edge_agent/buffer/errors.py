"""What can go wrong in the buffer, by what the caller must do."""

from edge_agent.contracts.errors import ConfigError, StorageFailed


class BufferFault(Exception):
    """Root of this room's errors."""


class NotABuffer(BufferFault, ConfigError):
    """The file belongs to another program: refuse to start rather than write into it."""


class OtherDevice(BufferFault, ConfigError):
    """The database holds another device's batches: refuse to start rather than send them as this one's."""


class NewerDatabase(BufferFault, ConfigError):
    """The database was written by a newer version: refuse to start rather than damage it."""


class NotStored(BufferFault, StorageFailed):
    """A commit failed: nothing of it is stored, keep what you have and try again."""


class DiskFull(NotStored):
    """There is no room on the disk, or the database may not grow: make room, or wait for it."""
