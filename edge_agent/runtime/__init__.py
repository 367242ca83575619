"""What every long-running part needs from the machine: time, files, logs, supervision, systemd, health.

Nothing here knows what the agent is for. Decisions (back-off, parsers, findings) are pure; the rest are
thin readers and writers.
"""
