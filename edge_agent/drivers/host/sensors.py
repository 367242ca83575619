"""Parsers of /sys: temperatures, frequencies, links and meters of energy. Pure.

Sources: the kernel's Documentation/hwmon/sysfs-interface.rst, driver-api/thermal/sysfs-api.rst,
power/powercap/powercap.rst, ABI/testing/sysfs-class-net.
"""

import re
from collections.abc import Iterator
from typing import Final

from edge_agent.drivers.host.figures import Bad, Figures, Glance, rate
from edge_agent.wire.quality import Quality

HWMON: Final = ("sys/class/hwmon/*/name", "sys/class/hwmon/*/temp*_input", "sys/class/hwmon/*/temp*_label")
THERMAL: Final = ("sys/class/thermal/thermal_zone*/type", "sys/class/thermal/thermal_zone*/temp")
FREQUENCIES: Final = ("sys/devices/system/cpu/cpu*/cpufreq/scaling_cur_freq",)
LINKS: Final = (
    "sys/class/net/*/operstate", "sys/class/net/*/carrier", "sys/class/net/*/speed",
)  # fmt: skip
POWERCAP: Final = (
    "sys/class/powercap/*/name", "sys/class/powercap/*/energy_uj",
    "sys/class/powercap/*/max_energy_range_uj",
)  # fmt: skip
_MILLI: Final = re.compile(r"-?[0-9]{1,9}")
_ZONE: Final = re.compile(r"(intel-rapl(?:-mmio)?:[0-9]+)(?::[0-9]+)?")
# What sensors say that are not there or are asleep; the coldest that is taken for a temperature.
_COLDEST: Final = -100.0


def _sorted(paths: Iterator[str]) -> list[str]:
    """hwmon10 stands behind hwmon9."""
    return sorted(paths, key=lambda path: [int(part) if part.isdigit() else part for part in _split(path)])


def _split(path: str) -> list[str]:
    # Texts and numbers take turns, so that they are never compared with each other.
    return re.split(r"([0-9]+)", path)


def _here(now: Glance, end: str) -> list[str]:
    """The paths that end so, those that could not be read among them."""
    known = {**now.texts, **now.refused}
    return _sorted(path for path in known if re.search(end, path))


def _celsius(now: Glance, path: str) -> float | Bad:
    if path in now.refused:
        return now.refused[path]
    text = now.texts[path].strip()
    if not _MILLI.fullmatch(text):
        return Bad(Quality.BAD_DEVICE, f"the sensor says {text[:50]!r}")
    degrees = int(text) / 1000
    return degrees if degrees >= _COLDEST else Bad(Quality.BAD_DEVICE, f"the sensor says {degrees:g} °C")


def _unique(names: Iterator[tuple[str, str]]) -> dict[str, str]:
    """By key, a name that no other key has: the second `nvme` is `nvme#2`."""
    seen: dict[str, int] = {}
    result: dict[str, str] = {}
    for key, name in names:
        seen[name] = seen.get(name, 0) + 1
        result[key] = name if seen[name] == 1 else f"{name}#{seen[name]}"
    return result


def hwmon(now: Glance, _: Glance | None) -> Figures:
    """`temp:CHIP/LABEL` in °C; where a chip has no labels, its names of inputs: `temp:nct6775/temp3`."""
    chips = _unique(
        (path.rpartition("/")[0], now.texts[path].strip())
        for path in _here(now, "/name$")
        if path in now.texts
    )
    inputs = [path for path in _here(now, r"/temp[0-9]+_input$") if path.rpartition("/")[0] in chips]
    labels = _unique((path, f"{chips[path.rpartition('/')[0]]}/{_label(now, path)}") for path in iter(inputs))
    return {f"temp:{name}": _celsius(now, path) for path, name in labels.items()}


def _label(now: Glance, path: str) -> str:
    stem = path.removesuffix("_input")
    return now.texts.get(f"{stem}_label", "").strip() or stem.rpartition("/")[2]


def thermal(now: Glance, _: Glance | None) -> Figures:
    """`temp:thermal/TYPE` in °C."""
    zones = _unique(
        (path.removesuffix("type"), now.texts[path].strip())
        for path in _here(now, "/type$") if path in now.texts
    )  # fmt: skip
    return {
        f"temp:thermal/{name}": _celsius(now, f"{zone}temp")
        for zone, name in zones.items()
        if f"{zone}temp" in now.texts or f"{zone}temp" in now.refused
    }


def frequencies(now: Glance, _: Glance | None) -> Figures:
    """`cpu:N:frequency` and the mean `cpu:frequency`, in MHz."""
    found: Figures = {}
    told: list[float] = []
    for path in _here(now, "/scaling_cur_freq$"):
        core = path.split("/cpu/cpu", 1)[-1].partition("/")[0]
        text = now.texts.get(path, "").strip()
        if path in now.refused:
            found[f"cpu:{core}:frequency"] = now.refused[path]
        elif re.fullmatch(r"[0-9]{1,9}", text):
            told.append(int(text) / 1000)
            found[f"cpu:{core}:frequency"] = told[-1]
    if told:
        found["cpu:frequency"] = sum(told) / len(told)
    return found


def links(now: Glance, _: Glance | None) -> Figures:
    """`net:INTERFACE:link`: 1 where it is up; `net:INTERFACE:speed` in Mbit/s, where the driver knows it."""
    found: Figures = {}
    for path in _here(now, "/operstate$"):
        directory = path.rpartition("/")[0]
        name = directory.rpartition("/")[2]
        state = now.texts.get(path, "").strip()
        carrier = now.texts.get(f"{directory}/carrier", "").strip()
        # A loopback or tunnel says unknown; then the carrier tells.
        found[f"net:{name}:link"] = int(state == "up" or (state == "unknown" and carrier == "1"))
        speed = now.texts.get(f"{directory}/speed", "").strip()
        if re.fullmatch(r"[0-9]{1,9}", speed):
            found[f"net:{name}:speed"] = int(speed)
        elif found[f"net:{name}:link"] == 0:
            found[f"net:{name}:speed"] = Bad(Quality.BAD_DEVICE, "there is no link")
    return found


def power(now: Glance, before: Glance | None) -> Figures:
    """`power:DOMAIN` in W, and for a part of a package `power:package-0/core`, from meters that count
    microjoules and begin at 0 again (RAPL)."""
    names = _domains(now)
    seconds = 0.0 if before is None else now.at - before.at
    found: Figures = {}
    for directory, name in names.items():
        path = f"{directory}/energy_uj"
        if path in now.refused:
            found[f"power:{name}"] = now.refused[path]
            continue
        energy = _microjoules(now, path)
        if energy is None:
            continue
        earlier = None if before is None else _microjoules(before, path)
        wrap = _microjoules(now, f"{directory}/max_energy_range_uj") or 0
        watts = rate(energy, earlier, seconds, float(wrap))
        found[f"power:{name}"] = watts / 1e6 if isinstance(watts, float) else watts
    return found


def _microjoules(glance: Glance, path: str) -> int | None:
    text = glance.texts.get(path, "").strip()
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else None


def _domains(now: Glance) -> dict[str, str]:
    """By directory. A part's name is behind that of its package: all packages have a `core`."""
    plain: dict[str, str] = {}
    for path in _here(now, "/name$"):
        directory = path.rpartition("/")[0]
        text = now.texts.get(path, "").strip()
        if text and _ZONE.fullmatch(directory.rpartition("/")[2]):
            plain[directory] = text
    named: list[tuple[str, str]] = []
    for directory, name in plain.items():
        match = _ZONE.fullmatch(directory.rpartition("/")[2])
        package = f"{directory.rpartition('/')[0]}/{match[1] if match else ''}"
        inside = package != directory and package in plain
        named.append((directory, f"{plain[package]}/{name}" if inside else name))
    return _unique(iter(named))
