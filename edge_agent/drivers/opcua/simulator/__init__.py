"""`edge-agent simulate opcua`: a server whose every value anyone can recompute from its source time.

signals (pure formulas) → nodes (the address space) → server (faults, counters, security) → control. It is
built on the server of asyncua: the driver uses that library's client side, and no code of this project is on
both ways. What node-opcua thinks of the driver is asked in tests/integration.
"""
