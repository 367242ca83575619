"""Arguments and exit codes of `central-sync`; imports `app`."""
