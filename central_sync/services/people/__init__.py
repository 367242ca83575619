"""People: users, passwords, sessions, the tokens that they make, and lock-outs."""
