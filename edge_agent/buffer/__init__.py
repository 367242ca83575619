"""The store-and-forward log: frames in memory and in a ring, batches in SQLite, delivered ranges.

Invariants: a batch counts as stored after its commit alone; one writer thread owns the database; the
backlog is read on a second connection; no transaction is open across an await; every batch is named
(epoch, seq) inside its insert's transaction. docs/specs/batch-v1.md is the specification.
"""
