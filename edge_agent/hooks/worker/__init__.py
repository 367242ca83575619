"""The child side of hooks: a process that compiles scripts and runs them on values, and can do nothing else.

It imports the standard library, `wire`, `hooks.protocol` and RestrictedPython, nothing of the agent beside;
whatever a script may reach in here, it reaches values that it was given and a socket to its parent.
"""
