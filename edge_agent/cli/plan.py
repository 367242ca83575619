"""`edge-agent plan`: which requests serve which tags, and whether their intervals can be kept."""

import argparse
from collections.abc import Sequence
from typing import Any, Final

from edge_agent.cli import config_path, figures
from edge_agent.cli.context import Context, ExitCode, GroupPlan
from edge_agent.cli.text import Cell, Palette, Styled, printable, table

NAME: Final = "plan"
HELP: Final = "print the requests that a config leads to, their bytes, bus time and headroom"
EXAMPLE: Final = "edge-agent plan --requests"

TIGHT_PERCENT: Final = 20.0
_HEAD: Final = (
    "connection", "group", "unit", "interval", "tags", "requests", "bytes", "bus ms", "headroom",
)  # fmt: skip
_RIGHT: Final = frozenset(_HEAD[2:])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    config_path.add_argument(parser)
    parser.add_argument("--requests", action="store_true", help="list every request below its group")
    parser.add_argument("--json", action="store_true", help="print {groups, totals, warnings, notes}")


def run(args: argparse.Namespace, context: Context) -> int:
    app = context.app
    plans = app.plans(app.load_config(config_path.existing(args.config, context.environ)))
    if args.json:
        context.print_json(
            {
                "groups": [_record(plan) for plan in plans],
                "totals": totals(plans),
                "warnings": warnings(plans),
                "notes": notes(plans),
            }
        )
        return ExitCode.GOOD
    for line in render(plans, Palette(context.colours), with_requests=args.requests):
        context.print(line)
    return ExitCode.GOOD


def totals(plans: Sequence[GroupPlan]) -> dict[str, float]:
    """Sums over all groups: per cycle, and per second with each group at its own interval."""
    return {
        "groups": len(plans),
        "tags": sum(plan.tags for plan in plans),
        "requests": sum(len(plan.requests) for plan in plans),
        "bytes": sum(plan.bytes for plan in plans),
        "requests_per_second": round(sum(len(plan.requests) / plan.interval_seconds for plan in plans), 3),
        "bytes_per_second": round(sum(plan.bytes / plan.interval_seconds for plan in plans), 3),
        "samples_per_second": round(sum(plan.tags / plan.interval_seconds for plan in plans), 3),
    }


def notes(plans: Sequence[GroupPlan]) -> list[str]:
    """How addresses were understood: `press1.fast: oil_temp: 40001 means holding:0`."""
    return [f"{plan.connection}.{plan.group}: {text}" for plan in plans for text in plan.notes]


def warnings(plans: Sequence[GroupPlan]) -> list[str]:
    """What is unlikely to be kept, by estimate; `run` refuses none of it."""
    found = [text for plan in plans if (text := _warning(plan))]
    shares: dict[str, float] = {}
    groups: dict[str, int] = {}
    for plan in plans:
        share = plan.bus_seconds / plan.interval_seconds
        shares[plan.connection] = shares.get(plan.connection, 0.0) + share
        groups[plan.connection] = groups.get(plan.connection, 0) + 1
    for connection, share in shares.items():
        if share > 1 and groups[connection] > 1:
            found.append(
                f"{connection}: its groups together take {100 * share:.0f} % of the time; poll less often"
            )
    return found


def _warning(plan: GroupPlan) -> str:
    name = f"{plan.connection}.{plan.group}"
    interval = figures.interval(plan.interval_seconds)
    if plan.headroom_percent < 0:
        need = figures.milliseconds(plan.bus_seconds)
        return f"{name}: cannot be polled every {interval}: one cycle takes {need} ms; poll less often"
    if plan.headroom_percent < TIGHT_PERCENT:
        left = figures.percent(plan.headroom_percent)
        return f"{name}: only {left} of {interval} is left for the PLC to answer; poll less often"
    return ""


def render(plans: Sequence[GroupPlan], palette: Palette, *, with_requests: bool = False) -> list[str]:
    """The table, its totals, the warnings, and the requests where they are asked for."""
    if not plans:
        return ["nothing is polled: the config has no connection with a group"]
    sums = totals(plans)
    rows = [_row(plan) for plan in plans]
    rows.append(
        ["total", f"{sums['groups']:,}", "", "", f"{sums['tags']:,}", f"{sums['requests']:,}",
         f"{sums['bytes']:,}", "", ""]
    )  # fmt: skip
    lines = table(_HEAD, rows, _RIGHT, palette)
    lines.append("")
    lines.append(
        f"per second: {sums['requests_per_second']:,.1f} requests, "
        f"{figures.size(round(sums['bytes_per_second']))}, {sums['samples_per_second']:,.0f} samples"
    )
    lines += [f"note: {printable(text)}" for text in notes(plans)]
    lines += [f"{palette.paint('warning:', 'warn')} {printable(text)}" for text in warnings(plans)]
    if with_requests:
        lines += _requests(plans, palette)
    return lines


def _row(plan: GroupPlan) -> list[Cell]:
    headroom = figures.percent(plan.headroom_percent)
    style = "bad" if plan.headroom_percent < 0 else "warn" if plan.headroom_percent < TIGHT_PERCENT else ""
    return [
        plan.connection,
        plan.group,
        figures.NONE if plan.unit_id is None else str(plan.unit_id),
        figures.interval(plan.interval_seconds),
        f"{plan.tags:,}",
        f"{len(plan.requests):,}",
        f"{plan.bytes:,}",
        figures.milliseconds(plan.bus_seconds),
        Styled(headroom, style),
    ]


def _requests(plans: Sequence[GroupPlan], palette: Palette) -> list[str]:
    lines: list[str] = []
    for plan in plans:
        lines += ["", palette.paint(printable(f"{plan.connection}.{plan.group}"), "bold")]
        rows = [
            [request.text, f"{request.tags:,}", f"{request.sent_bytes:,}", f"{request.received_bytes:,}",
             figures.milliseconds(request.bus_seconds)]
            for request in plan.requests
        ]  # fmt: skip
        head = ("request", "tags", "sent", "received", "bus ms")
        lines += table(head, rows, frozenset(head[1:]), palette, indent="  ")
    return lines


def _record(plan: GroupPlan) -> dict[str, Any]:
    return {
        "connection": plan.connection,
        "group": plan.group,
        "unit_id": plan.unit_id,
        "interval_seconds": plan.interval_seconds,
        "tags": plan.tags,
        "bytes": plan.bytes,
        "bus_seconds": plan.bus_seconds,
        "headroom_percent": plan.headroom_percent,
        "requests": [
            {
                "text": request.text,
                "tags": request.tags,
                "sent_bytes": request.sent_bytes,
                "received_bytes": request.received_bytes,
                "bus_seconds": request.bus_seconds,
            }
            for request in plan.requests
        ],
    }
