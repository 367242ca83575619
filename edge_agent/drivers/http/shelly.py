"""What a Shelly plug or switch tells of itself: from `Switch.GetStatus` to named readings. Pure.

Source: Shelly API, Gen2 and later, component Switch. Names are those of the edge-metrics exporter without
`shelly_`, so that a tag of that name goes on in the same dashboards.
"""

from collections.abc import Mapping
from typing import Any, Final

_AT: Final[Mapping[str, tuple[str | int, ...]]] = {
    "power_total_watts": ("apower",),
    "power_voltage_volts": ("voltage",),
    "power_current_amps": ("current",),
    "power_factor": ("pf",),
    "power_frequency_hz": ("freq",),
    "power_switch_output": ("output",),
    "energy_total_wh": ("aenergy", "total"),
    "energy_minute_0_mwh": ("aenergy", "by_minute", 0),
    "energy_minute_1_mwh": ("aenergy", "by_minute", 1),
    "energy_minute_2_mwh": ("aenergy", "by_minute", 2),
    "energy_minute_timestamp": ("aenergy", "minute_ts"),
    "energy_returned_total_wh": ("ret_aenergy", "total"),
    "energy_returned_minute_0_mwh": ("ret_aenergy", "by_minute", 0),
    "energy_returned_minute_1_mwh": ("ret_aenergy", "by_minute", 1),
    "energy_returned_minute_2_mwh": ("ret_aenergy", "by_minute", 2),
    "energy_returned_minute_timestamp": ("ret_aenergy", "minute_ts"),
    "temperature_celsius": ("temperature", "tC"),
    "temperature_fahrenheit": ("temperature", "tF"),
}
_ERRORS: Final = ("overtemp", "overpower", "overvoltage", "undervoltage")
READINGS: Final = (*_AT, "errors_count", *(f"error_{name}" for name in _ERRORS))


def readings(status: Any) -> dict[str, Any]:
    """The readings that are there. The list of errors is left out by a device that has none."""
    if not isinstance(status, dict):
        return {}
    # Behind JSON-RPC over HTTP POST or a proxy of it the answer stands within `result`.
    inner = status.get("result")
    body = inner if isinstance(inner, dict) else status
    found: dict[str, Any] = {}
    for name, way in _AT.items():
        here: Any = body
        for step in way:
            here = _step(here, step)
        if here is not None:
            found[name] = here
    if "output" in body or "apower" in body:
        told = body.get("errors")
        errors = [each for each in told if isinstance(each, str)] if isinstance(told, list) else []
        found["errors_count"] = len(errors)
        found |= {f"error_{name}": int(name in errors) for name in _ERRORS}
    return found


def _step(here: Any, step: str | int) -> Any:
    if isinstance(step, str):
        return here.get(step) if isinstance(here, dict) else None
    return here[step] if isinstance(here, list) and step < len(here) else None
