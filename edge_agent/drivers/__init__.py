"""Protocol drivers: the registry, and one room for each protocol."""
