"""`edge-agent run`: the daemon, in the foreground."""

import argparse
import signal
from typing import Final

from edge_agent.cli import config_path
from edge_agent.cli.context import Context

NAME: Final = "run"
HELP: Final = "run the agent in the foreground until SIGTERM or Ctrl-C"
EXAMPLE: Final = "edge-agent run -c /etc/holdfast/edge-agent.yaml"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    config_path.add_argument(parser)


def run(args: argparse.Namespace, context: Context) -> int:
    # Whoever asks for a reload before there is anything to reload must not end the start.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    return context.app.run_agent(config_path.existing(args.config, context.environ))
