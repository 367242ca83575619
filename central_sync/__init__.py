"""Holdfast's thin centre: takes what agents forward, and serves them configs.

Layers, checked by import-linter: cli → app → {api, console, workers, store} → services → wire. Of
`edge_agent` it imports `wire` alone.
"""

from typing import Final

VERSION: Final = "0.1.0"
