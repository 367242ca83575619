"""`edge-agent simulate modbus`: stations whose every value anyone can recompute from its time.

signals (pure formulas) → image (bytes of a tick) → pdu (requests and answers) → server (TCP and RTU
framing, faults). It shares no code with the driver and none with pymodbus, so that a mistake in one is
not repeated by the other.
"""
