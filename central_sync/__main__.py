"""`python -m central_sync` and the console script `central-sync`."""

import contextlib
import os
import sys


def main() -> None:
    """Raises SystemExit with the exit code."""
    if "_ARGCOMPLETE" in os.environ:
        # A shell asks what may follow on a line: who pressed Tab waits for no more than that.
        from central_sync.cli import completion
        from central_sync.cli.arguments import parser

        completion.answer(parser())
    from central_sync.cli.arguments import parser

    options = parser().parse_args()  # wrong words and --help wait for no more than that either
    from central_sync.cli.commands import run_options

    try:
        code = run_options(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the output has seen enough (`| head`). Nothing may be flushed at exit any more.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    sys.exit(code)


if __name__ == "__main__":
    main()
