"""A simulated S7 CPU: `edge-agent simulate s7`. It shares no code with the driver.

memory (what bytes hold, a formula of time) and faults → station (one connection's messages) → server (ports)
→ command (the command line); control takes orders while it runs.
"""
