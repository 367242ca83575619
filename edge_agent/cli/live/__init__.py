"""`edge-agent top`: what the running agent does, renewed every second.

`figures` makes numbers of two snapshots, `view` is what the keys did, `screen` makes lines of both: these
three are pure. `watch` asks the agent in a thread, `terminal` is the loop over curses.
"""
