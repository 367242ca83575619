"""The messages that agent and centre exchange, and the batch codec: frozen, versioned, shared.

Nothing here does I/O, and nothing here imports another room. `central_sync` may import this package
and no other of `edge_agent`. The formats are specified in docs/specs/batch-v1.md.
"""
