"""What devices send: ingest, exact accounting, the read models, history."""
