"""Pure values and functions of the agent: no I/O, no clock, no settings."""
