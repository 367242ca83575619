"""`edge-agent simulate xgt`: a PLC whose every value anyone can recompute from its time.

image (pure formulas, and what was written) → station (requests, refusals, replies) → server (TCP and UDP,
faults). It shares no code with the driver, so that a mistake in one is not repeated by the other, and takes
nothing that the manuals do not allow.
"""
