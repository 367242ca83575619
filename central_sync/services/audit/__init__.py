"""The audit trail: its entries, the chain that proves it, and reading it."""
