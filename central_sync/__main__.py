"""`python -m central_sync` and the console script `central-sync`."""

import os
import sys


def main() -> None:
    """Raises SystemExit with the exit code."""
    if "_ARGCOMPLETE" in os.environ:
        # A shell asks what may follow on a line: who pressed Tab waits for no more than that.
        from central_sync.cli import completion
        from central_sync.cli.arguments import parser

        completion.answer(parser())
    from central_sync.cli.commands import run_command

    sys.exit(run_command(sys.argv[1:]))


if __name__ == "__main__":
    main()
