"""What this process knows of a buffer that had to be opened again, held against what is there now. Pure
but for the rows that it writes.

Names that were given must not be given again, and what was promised to the sink stays promised: epochs
that the file has lost are entered again, with all their batches missing. Reading finds that out and turns
them into losses.
"""

import sqlite3

from edge_agent.buffer import rows
from edge_agent.buffer.ledger import Ledger, batch_id
from edge_agent.buffer.state import Totals


def carry_over(db: sqlite3.Connection, ledger: Ledger, totals: Totals, before: Ledger) -> str | None:
    """Completes a ledger that was just loaded. Returns why a new epoch has to begin, if it has to."""
    why: str | None = None
    for no, epoch in before.epochs.items():
        found = ledger.epochs.get(no)
        if found is None:
            rows.insert_epoch(db, epoch, "carried over")
            ledger.epochs[no] = epoch
            ledger.written_off += [entry for entry in before.written_off if entry.epoch_no == no]
            why = "database lost"
        elif found.id != epoch.id:
            why = "database replaced"
        else:
            if found.next_seq < epoch.next_seq:
                found.next_seq = epoch.next_seq
                why = why or "commits lost"
            found.begun_here = epoch.begun_here
            # What was acknowledged since the account was last saved.
            news = ledger.settle(no, epoch.settled)
            totals.release(*rows.sizes(db, [(batch_id(no, lo), batch_id(no, hi)) for lo, hi in news]))
    return why
