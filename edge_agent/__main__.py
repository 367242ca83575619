"""`edge-agent` and `python -m edge_agent`."""

from edge_agent.cli.main import main as command_line


def main() -> None:
    """Runs the command line of this process. Raises SystemExit with its exit code."""
    raise SystemExit(command_line())


if __name__ == "__main__":
    main()
