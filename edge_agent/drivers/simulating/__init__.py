"""What the simulators of all protocols have in common: faults in force, orders as JSON lines, the program.

Nothing here knows a protocol, and no driver imports it: a simulator shares no codec with its driver.
"""
