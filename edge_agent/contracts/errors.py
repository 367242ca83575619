"""Errors that cross rooms. A class says what the caller must do."""


class NotConnected(Exception):
    """There is no usable link: connect (again), with backoff. The message is for people."""


class Unavailable(Exception):
    """A port, a file or a disk cannot be used now: end, and begin again later. The message is for people."""


class StorageFailed(Exception):
    """What is kept could not be written or read: keep what you have and try again. It heals by itself, so
    that it is no reason to give up."""


class ConfigError(Exception):
    """Refuse: what was configured can never work, however often it is tried."""


class Unsupported(Exception):
    """The peer or the driver cannot do what was asked; asking again is useless."""


class WriteRefused(Exception):
    """The device said no to a write: nothing has changed there. The message is for people."""


class WriteUnknown(Exception):
    """A write may or may not have been carried out. Never send it again by itself: look, and let people
    decide. The message is for people."""


class InvariantBroken(Exception):
    """The program contradicts itself: exit, so that systemd starts it afresh."""
