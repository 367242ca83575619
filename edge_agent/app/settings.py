"""Where settings come from, for every part that loads a config: the drivers' models by name."""

import os
from pathlib import Path

from edge_agent.config.load import Loaded, load
from edge_agent.config.models import ConnectionSettings
from edge_agent.drivers import registry


def settings_of(driver: str) -> type[ConnectionSettings]:
    """The settings model of a driver. Raises ConfigError. A child process imports this by its name."""
    model = registry.lookup(driver).settings
    assert issubclass(model, ConnectionSettings), f"driver {driver} has foreign settings"
    return model


def load_config(path: Path) -> Loaded:
    """Raises ConfigErrors, whose text has a line for each error with file, line and column."""
    return load(path, settings_of, os.environ)
