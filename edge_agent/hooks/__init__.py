"""The site's Python scripts: run in worker processes that can do nothing but compute.

The parent side (this room) decides what is run on which frames, when a worker has had its time, and what of
its answers is believed. The child side is `hooks.worker`. Neither trusts the other: data goes by value, in
bounded messages (`protocol`), and the source of a script is compiled in the worker alone.
"""
