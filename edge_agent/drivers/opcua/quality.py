"""From OPC UA's status codes to the quality of a sample. Pure; the code itself stays beside it.

Part 4, 7.39: the two highest bits are the severity; the lower half are flags, of which `overflow` says that
the server's queue of a monitored item was full.
"""

from typing import Final

from edge_agent.drivers.packing import Mark
from edge_agent.wire.quality import Quality

NODE_UNKNOWN: Final = 0x80340000
_OVERFLOW: Final = 0x0480  # the flags are those of a value, and its queue overflowed
_CODE: Final = 0xFFFF0000

# What somebody has to put right in the config, or in the server's.
_CONFIG: Final = frozenset({
    0x801F0000,  # BadUserAccessDenied
    0x80330000,  # BadNodeIdInvalid
    NODE_UNKNOWN,
    0x80350000,  # BadAttributeIdInvalid
    0x80360000,  # BadIndexRangeInvalid
    0x80370000,  # BadIndexRangeNoData
    0x80380000,  # BadDataEncodingInvalid
    0x80390000,  # BadDataEncodingUnsupported
    0x803A0000,  # BadNotReadable
    0x803D0000,  # BadNotSupported
    0x80400000,  # BadNotImplemented
    0x80890000,  # BadConfigurationError
})  # fmt: skip
# The server itself hears nothing from the device.
_COMM: Final = frozenset({
    0x80050000,  # BadCommunicationError
    0x800A0000,  # BadTimeout
    0x80310000,  # BadNoCommunication
    0x80320000,  # BadWaitingForInitialData
    0x808A0000,  # BadNotConnected
})  # fmt: skip
_VALUE: Final = frozenset({
    0x80070000,  # BadDecodingError
    0x803C0000,  # BadOutOfRange
    0x80740000,  # BadTypeMismatch
})  # fmt: skip


def quality_of(status: int) -> Quality:
    severity = status >> 30
    if severity == 0:
        return Quality.GOOD
    if severity == 1:
        return Quality.UNCERTAIN
    code = status & _CODE
    if code in _CONFIG:
        return Quality.BAD_CONFIG
    if code in _COMM:
        return Quality.BAD_COMM
    return Quality.BAD_VALUE if code in _VALUE else Quality.BAD_DEVICE


def mark_of(status: int, *, empty: bool) -> Mark | None:
    """None where the value is plainly good. empty: the server gave none."""
    if not status and not empty:
        return None
    quality = quality_of(status)
    is_bad = quality not in (Quality.GOOD, Quality.UNCERTAIN)
    return Mark(quality, status, null=empty or is_bad)


def overflowed(status: int) -> bool:
    """Older values of the tag were dropped at the server before this one."""
    return status & _OVERFLOW == _OVERFLOW
