"""The small protocols that rooms meet through. `app` connects one room to another with these alone."""
