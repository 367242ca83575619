"""Bit unpacking: single bits and a small field of a status word as tags of their own.

config: {name: status-bits, point: transform, file: hooks/bit_unpacking.py, groups: [press1.fast]}
"""

from holdfast_hooks import Frame

OUTPUTS = {"pump_on": "bool", "door_open": "bool", "fault": "bool", "mode": "uint8"}
BITS = (("pump_on", 0), ("door_open", 3), ("fault", 15))


def transform(frame: Frame) -> None:
    for name, bit in BITS:
        frame[name] = frame["status"] >> bit & 1
    frame["mode"] = frame["status"] >> 8 & 0b111
