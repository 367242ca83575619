"""A machine in a temporary directory whose agents are gone when the test ends."""

from pathlib import Path

import pytest

from tests.unit.buffer.life import Life


@pytest.fixture
def life(tmp_path: Path) -> Life:
    return Life(tmp_path)
