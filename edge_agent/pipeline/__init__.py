"""From a plan to frames: schedule, read, check, deadband, number, hand over.

Invariants: nothing here waits for the disk or the network's other side; a missed cycle is counted and
never queued; a frame once handed over is not touched again; a bad tag, unit or connection affects only
itself. Retries, back-off, breakers and outage logs of all drivers are here.
"""
