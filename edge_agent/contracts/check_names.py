"""The names of the doctor's checks, for command lines: alone, since every command waits for this import."""

from typing import Final

# In the order in which they are made: what a later one needs is checked by an earlier one.
CHECKS: Final = ("config", "clock", "disk", "rights", "hooks", "dns", "tls", "centre", "connections")
