"""This room's errors. What a connection can suffer is in contracts.errors."""


class BadReading(Exception):
    """A driver returned what its plan's schema cannot mean: a bug. The poller starts afresh."""
