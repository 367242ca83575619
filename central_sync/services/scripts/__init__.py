"""The room of scripts: the hooks that devices get from the centre."""
