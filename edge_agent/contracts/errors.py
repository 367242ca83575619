"""Errors that cross rooms. A class says what the caller must do."""


class NotConnected(Exception):
    """There is no usable link: connect (again), with backoff. The message is for people."""


class ConfigError(Exception):
    """Refuse: what was configured can never work, however often it is tried."""


class Unsupported(Exception):
    """The peer or the driver cannot do what was asked; asking again is useless."""


class InvariantBroken(Exception):
    """The program contradicts itself: exit, so that systemd starts it afresh."""
