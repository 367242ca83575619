"""All figures by name, in the order in which they are measured and shown."""

from typing import Final

from bench.figure import Figure
from bench.figures import (
    apply,
    configs,
    fleet,
    hooks,
    ingest,
    memory,
    opcua,
    reference,
    s7,
    small,
    storage,
    sweep,
    thingsboard,
    xgt,
)

FIGURES: Final[tuple[Figure, ...]] = (
    Figure("reference_line", 60, reference.run, quick_seconds=10),
    Figure("one_slow_plc", 30, small.one_slow_plc),
    Figure("to_centre_p99", 60, small.to_centre),
    Figure("start", 60, small.start),
    Figure("sweep", 240, sweep.run),
    Figure("apply_lateness_p99", 180, apply.run),
    Figure("memory_growth", 3600, memory.run),
    Figure("centre_ingest", 40, ingest.run, quick_seconds=3),
    Figure("fleet", 120, fleet.run, quick_seconds=4),
    Figure("config_csv_20000", 10, configs.csv_20000, quick_seconds=2),
    Figure("config_block_5000", 10, configs.block_5000, quick_seconds=2),
    Figure("config_flow_20000", 20, configs.flow_20000),
    Figure("config_ranges_100000", 20, configs.ranges_100000),
    Figure("bytes_a_sample", 120, storage.bytes_a_sample),
    Figure("flash_a_day", 120, storage.flash_a_day),
    Figure("opcua", 60, opcua.run),
    Figure("s7", 60, s7.run),
    Figure("xgt", 60, xgt.run),
    Figure("hook_call_1000", 20, hooks.calls),
    Figure("hooks_reference_line", 90, hooks.reference_line),
    Figure("hooks_lateness_p99", 120, hooks.lateness),
    Figure("thingsboard_1000", 100, thingsboard.run),
)  # fmt: skip


def chosen(names: list[str], *, quick: bool) -> list[Figure]:
    """The figures of these names; without names all of them, or all that have a quick form.

    Raises KeyError with the names that no figure has.
    """
    if unknown := sorted(set(names) - {figure.name for figure in FIGURES}):
        raise KeyError(", ".join(unknown))
    if names:
        return [figure for figure in FIGURES if figure.name in names]
    return [figure for figure in FIGURES if not quick or figure.quick_seconds is not None]
