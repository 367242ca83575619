"""Examines the machine that an agent runs on, or is to run on: one module a check.

Each check has a pure `judge…` that takes what was measured and returns findings, and a class that measures.
Nothing here is changed but a temporary file for timing the disk, and nothing waits for ever: what may block
runs in a thread of its own under a deadline (`waiting`). A check that needs what an earlier one found broken
is skipped, with the reason.

What needs drivers is passed in by `app` (`connections.Asker`); the command line prints.
"""
