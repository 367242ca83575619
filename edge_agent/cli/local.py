"""Finding the agent that runs on this machine, for the commands that talk to it."""

import argparse
from pathlib import Path

from edge_agent.cli import config_path
from edge_agent.cli.context import Client, Context


def add_arguments(parser: argparse.ArgumentParser) -> None:
    config_path.add_argument(parser)
    parser.add_argument("--socket", metavar="PATH", help="the agent's socket; default: by the config")


def client(args: argparse.Namespace, context: Context) -> Client:
    """A client of the agent's socket. Raises ConfigError or UsageError where it cannot be found out."""
    app = context.app
    if args.socket:
        return app.local_client(Path(args.socket))
    head = app.load_head(config_path.existing(args.config, context.environ))
    return app.local_client(app.runtime_socket(head))
