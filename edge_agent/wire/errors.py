"""What can be wrong with bytes that came over the wire or off the disk."""


class WireError(ValueError):
    """The bytes are not what the specification says: refuse them, they will not get better."""


class TooLarge(WireError):
    """A declared or actual size is over its bound."""


class UnknownCodec(WireError):
    """The body was compressed in a way that this build cannot undo."""
