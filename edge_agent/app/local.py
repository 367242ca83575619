"""Finding the agent that runs on this machine. What it imports is what each of those commands waits for."""

import os
import socket
from pathlib import Path

from edge_agent.config import load
from edge_agent.config.load import Head, Loaded
from edge_agent.runtime.paths import find_socket
from edge_agent.web.client import LocalClient


def load_head(path: Path) -> Head:
    """What finds the agent, quickly. Raises ConfigErrors."""
    return load.load_head(path, os.environ)


def runtime_socket(config: Head | Loaded) -> Path:
    """The local API's socket of the agent that runs with this config."""
    return find_socket(config.agent.runtime_dir, config.agent.id)


def running_agent(config: Head | Loaded) -> LocalClient | None:
    """A client of the agent that runs with this config. None: nobody listens on its socket."""
    path = runtime_socket(config)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return None
        except OSError:
            pass  # somebody may be there; the client's own question says why it gets no answer
    return LocalClient(path)
