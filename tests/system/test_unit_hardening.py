"""The units as systemd itself judges them, without installing anything: the score, and that every setting
is one that it knows."""

import shutil
import subprocess
from pathlib import Path

import pytest

SYSTEMD = Path(__file__).parents[2] / "systemd"
UNITS = ("edge-agent", "central-sync")
VARIANTS = sorted((SYSTEMD / "variants").glob("*/*.conf"))
# In tenths, as `systemd-analyze --threshold` takes them.
MOST = 15
MOST_WITH_A_VARIANT = 20


def install(unit: str, variants: list[Path], root: Path) -> Path:
    """The unit with its variants in a directory, as the installer lays them out, with programs that exist."""
    programs = root / "bin"
    programs.mkdir(exist_ok=True)
    for name in UNITS:
        shutil.copy("/bin/true", programs / name)
    target = root / f"{unit}.service"
    for source, copy in [
        (SYSTEMD / target.name, target),
        *((path, root / f"{unit}.service.d" / path.name) for path in variants),
    ]:
        copy.parent.mkdir(exist_ok=True)
        copy.write_text(source.read_text().replace("/opt/holdfast", str(root)))
    return target


def analyze(*arguments: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["systemd-analyze", "--no-pager", *map(str, arguments)], capture_output=True, text=True, check=False
    )


def exposure(unit: Path, most: int) -> "subprocess.CompletedProcess[str]":
    return analyze("security", "--offline=yes", f"--threshold={most}", unit)


@pytest.mark.parametrize("unit", UNITS)
def test_the_units_are_exposed_by_one_and_a_half_at_most(unit: str, tmp_path: Path) -> None:
    answer = exposure(install(unit, [], tmp_path), MOST)
    assert answer.returncode == 0, answer.stdout + answer.stderr


@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_with_less_would_be_noticed(unit: str, tmp_path: Path) -> None:
    target = install(unit, [], tmp_path)
    target.write_text(target.read_text().replace("\nPrivateDevices=yes\n", "\n").replace("SystemCall", "#"))
    assert exposure(target, MOST).returncode != 0


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_variant_opens_little(variant: Path, tmp_path: Path) -> None:
    answer = exposure(install(variant.parent.name, [variant], tmp_path), MOST_WITH_A_VARIANT)
    assert answer.returncode == 0, answer.stdout + answer.stderr


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_knows_every_setting(unit: str, tmp_path: Path) -> None:
    variants = [path for path in VARIANTS if path.parent.name == unit]
    assert variants
    answer = analyze("verify", "--recursive-errors=no", install(unit, variants, tmp_path))
    assert (answer.returncode, answer.stderr) == (0, "")


@pytest.mark.parametrize("prefix", ["/opt/hold fast", "/opt/100%d", "/opt/a|b", "/opt/a&b", "opt"])
def test_an_environment_whose_path_no_unit_can_hold_is_refused(prefix: str) -> None:
    done = subprocess.run(
        ["sh", SYSTEMD / "install", "--prefix", prefix], capture_output=True, text=True, check=False
    )
    assert (done.returncode, prefix in done.stderr) == (2, True)
