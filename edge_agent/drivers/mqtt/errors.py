"""What can be wrong with a message. It never leaves the room: it becomes a quality and a text."""


class BadPayload(Exception):
    """A message, or a part of it, is not what was configured. The message is for people."""


class Absent(BadPayload):
    """There is nothing where the pointer points."""
