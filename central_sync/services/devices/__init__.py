"""Devices: the registry, heartbeats, presence, and what is shown of them."""
