"""The centre's client: uploads in two lanes, heartbeats, the config poll.

Invariants: nothing here is ever waited for by polling or by the writer; only what the centre acknowledged
counts as delivered; the credential is never deleted; every transient error is retried for ever.
"""
