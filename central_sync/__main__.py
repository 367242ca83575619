"""`python -m central_sync` and the console script `central-sync`."""

import sys

from central_sync.cli.commands import run_command


def main() -> None:
    """Raises SystemExit with the exit code."""
    sys.exit(run_command(sys.argv[1:]))


if __name__ == "__main__":
    main()
