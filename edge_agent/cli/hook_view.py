"""What a script did, as text. Pure."""

import json
import struct
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from edge_agent.cli import figures
from edge_agent.cli.text import Cell, Palette, Styled, printable, shortened, table

if TYPE_CHECKING:
    from edge_agent.wire.dry_run import DryError, DryOutput, DryRunAnswer, DryValue

_HEAD: Final = ("tag", "raw", "result", "quality", "")
_RIGHT: Final = ("raw", "result")
_VALUE_COLUMNS: Final = 40


def render(answer: "DryRunAnswer", file: str, palette: Palette, *, everything: bool) -> list[str]:
    """file: the script's, before lines of it. everything: tags that did not change, too."""
    lines = [palette.paint(printable(answer.script), "bold")]
    lines += [f"outputs: {', '.join(map(printable, answer.declared))}"] if answer.declared else []
    for output in answer.outputs:
        lines += ["", *_output(output, file, palette, everything=everything)]
    if answer.left_out:
        lines += ["", f"{figures.plural(answer.left_out, 'frame')} more, not shown"]
    for alert in answer.alerts:
        data = f" {json.dumps(alert.data, ensure_ascii=False)}" if alert.data else ""
        lines.append(printable(f"alert hook.{alert.code}: {alert.message}{data}"))
    if answer.state:
        lines += ["", printable(f"state: {json.dumps(answer.state, ensure_ascii=False)}")]
    shown = any(output.error == answer.error for output in answer.outputs)
    if answer.error is not None and not shown:
        lines += ["", *_error(answer.error, file, palette)]
    ran = answer.milliseconds.calls or answer.error is None
    return [*lines, *(["", _times(answer)] if ran else []), *_layers(answer, palette)]


def _output(output: "DryOutput", file: str, palette: Palette, *, everything: bool) -> list[str]:
    name = f"{output.connection}.{output.group}" if output.connection else output.group
    took = "no answer" if output.error is not None else "not run on this group"
    took = took if output.milliseconds is None else f"{output.milliseconds:.3f} ms"
    lines = [f"{palette.paint(printable(name), 'bold')}  {figures.time(output.time)}  {took}"]
    rows = [_row(tag, output) for tag in _tags(output, everything=everything)]
    if rows:
        lines += table(_HEAD, rows, _RIGHT, palette, indent="  ")
    same = len({**output.before, **output.after}) - len(rows)
    if same:
        lines.append(f"  {figures.plural(same, 'tag')} {'is' if same == 1 else 'are'} as before")
    lines += [f"  printed: {printable(line)}" for line in output.prints.splitlines()]
    if output.error is not None:
        lines += [f"  {line}" for line in _error(output.error, file, palette)]
    return lines


def _tags(output: "DryOutput", *, everything: bool) -> Iterable[str]:
    names = {**output.before, **output.after}
    if everything:
        return names
    made = set(output.made)
    return [name for name in names if name in made or output.before.get(name) != output.after.get(name)]


def _row(tag: str, output: "DryOutput") -> list[Cell]:
    after = output.after.get(tag)
    what = "dropped" if tag in output.dropped else ""
    if tag in output.made:
        what = "replaced" if tag in output.before else "computed"
    quality: Cell = ""
    if after is not None:
        quality = after.quality if after.quality == "good" else Styled(after.quality, "bad")
    return [tag, _value(output.before, tag), _value(output.after, tag), quality, Styled(what, "dim")]


def _value(values: "Mapping[str, DryValue]", tag: str) -> str:
    found = values.get(tag)
    if found is None:
        return figures.NONE
    value = found.value
    if isinstance(value, float):
        text = _number(value)
    else:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return shortened(printable(text), _VALUE_COLUMNS)


def _number(value: float) -> str:
    """As short as says it: a float32 has digits of its own only up to the ninth."""
    try:
        is_float32 = struct.unpack("f", struct.pack("f", value))[0] == value
    except OverflowError:
        return repr(value)
    for digits in (6, 7, 8, 9) if is_float32 else ():
        text = f"{value:.{digits}g}"
        if struct.pack("f", float(text)) == struct.pack("f", value):
            return text
    return repr(value)


def _error(error: "DryError", file: str, palette: Palette) -> list[str]:
    """The error with its place, and the line it is in underlined, as far as it is known."""
    place = ":".join(part for part in (printable(file), str(error.line or "")) if part)
    what = f"{error.type}: {error.message}" if error.type else error.message
    lines = [palette.paint("✗ ", "bad") + printable(f"{place}: {what}" if place else what)]
    if error.line is not None and error.source:
        source = printable(error.source.expandtabs(4).rstrip())
        number = f"{error.line:>5}"
        indent = len(source) - len(source.lstrip())
        caret = " " * indent + "^" * max(1, len(source) - indent)
        lines += [f"{number} | {source}", f"{'':>5} | {palette.paint(caret, 'bad')}"]
    return lines


def _times(answer: "DryRunAnswer") -> str:
    times = answer.milliseconds
    if times.p50_ms is None or times.p99_ms is None:
        return "nothing was run: name samples with --frames, --from-buffer or -c CONFIG"
    calls = figures.plural(times.calls, "call")
    return (
        f"{calls}: p50 {times.p50_ms:.3f} ms, p99 {times.p99_ms:.3f} ms each, {times.total_ms:.1f} ms in all"
    )


def _layers(answer: "DryRunAnswer", palette: Palette) -> list[str]:
    missing = [f"{name}: {why}" for name, why in answer.layers.items() if why != "on"]
    text = printable(f"the sandbox lacks here: {'; '.join(missing)}")
    return [palette.paint(text, "warn")] if missing else []
