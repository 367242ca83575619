"""`make bench`: the figures of docs/performance.md, measured on this machine, one JSON line each.

`figure` says what a figure is, `figures/` holds one module a group of them, `plant` starts the processes
that are measured. What is compared between runs and machines is never an absolute time but a figure's
ratio to its peer, which is measured beside it in the same run.
"""
