"""What can go wrong with the database itself."""


class StoreError(Exception):
    """Root of this room's errors."""


class CannotOpen(StoreError):
    """The database cannot be used as it is: tell the operator, and stop."""
