"""The registry: lazy, with errors that say what to do."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.contracts.errors import ConfigError
from edge_agent.drivers import registry


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory with an installed distribution that brings drivers by entry points."""
    info = tmp_path / "foreign_drivers-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: foreign-drivers\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[holdfast.drivers]\n"
        "own = foreign_driver:SPEC\n"
        "modbus = foreign_driver:SPEC\n"
        "lacking = foreign_lacking:SPEC\n"
        "wrong = foreign_driver:NAME\n"
    )
    (tmp_path / "foreign_driver.py").write_text(
        "from dataclasses import replace\n"
        "from edge_agent.drivers.modbus import SPEC as modbus\n"
        "NAME = 'own'\n"
        "SPEC = replace(modbus, name=NAME)\n"
    )
    (tmp_path / "foreign_lacking.py").write_text("import a_library_that_nobody_has\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in ("foreign_driver", "foreign_lacking"):
        sys.modules.pop(name, None)


def test_modbus_is_found_by_its_name() -> None:
    spec = registry.lookup("modbus")
    assert spec.name == "modbus"
    assert "modbus" in registry.names()


def test_importing_the_registry_loads_no_driver_and_no_library() -> None:
    code = (
        "import sys, edge_agent.drivers.registry as r; r.names();"
        "print([m for m in ('pymodbus', 'asyncua', 'edge_agent.drivers.modbus') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_an_unknown_driver_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match="unknown driver 'modbuss'; did you mean 'modbus'"):
        registry.lookup("modbuss")


def test_an_unknown_driver_without_a_near_name_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"known drivers: .*modbus"):
        registry.lookup("profibus-dp")


def test_entry_points_bring_drivers(site: Path) -> None:
    assert registry.lookup("own").name == "own"
    assert "own" in registry.names()


def test_the_own_table_wins_over_an_entry_point(site: Path) -> None:
    assert registry.lookup("modbus").name == "modbus"


def test_a_missing_library_names_the_extra(site: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"needs the library 'a_library_that_nobody_has': pip install 'holdfast\[lacking\]'"
    ):
        registry.lookup("lacking")


def test_an_entry_point_that_is_no_spec_is_refused(site: Path) -> None:
    with pytest.raises(ConfigError, match="foreign_driver:NAME is not a DriverSpec"):
        registry.lookup("wrong")
