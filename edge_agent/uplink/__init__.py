"""The centre's client: uploads in two lanes, heartbeats, the config poll.

Invariants: nothing here is ever waited for by polling or by the writer; only what the centre acknowledged
counts as delivered; the credential is never deleted; every transient error is retried for ever; a batch
that the centre does not take keeps no other one back.

client speaks HTTP, delivery is one exchange with all its answers, uploader are the lanes, reach is how the
centre is and when to knock; lanes, suspects and withheld decide and do no I/O.
"""
