"""`edge-agent init`: a commented config to begin with, and a first try of its connection."""

import argparse
import platform
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_agent.cli import config_path
from edge_agent.cli.context import Context, UsageError
from edge_agent.contracts.exit_codes import ExitCode

NAME: Final = "init"
HELP: Final = "write a commented config to begin with, and try its connection"
EXAMPLE: Final = "edge-agent init --host 192.0.2.10 --central https://central.example.com"

DRIVER: Final = "modbus"
# A documentation address (RFC 5737): it reaches nobody until it is replaced.
EXAMPLE_HOST: Final = "192.0.2.10"
_PORT: Final = 502
_UNIT: Final = 1
_PROBE_SECONDS: Final = 3.0
_MAX_ID: Final = 51


@dataclass(frozen=True)
class _Answers:
    device: str
    host: str
    port: int
    unit_id: int
    central: str | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-c", "--config", metavar="FILE",
        help="where to write it; - for the standard output; "
        f"default: ${config_path.VARIABLE}, ./{config_path.LOCAL}",
    )  # fmt: skip
    parser.add_argument("--id", metavar="DEVICE", help="device id; default: from the host name")
    parser.add_argument("--host", help="address of the PLC")
    parser.add_argument("--port", type=int, help=f"its Modbus TCP port; default: {_PORT}")
    parser.add_argument("--unit", type=int, help=f"its unit id; default: {_UNIT}")
    parser.add_argument("--central", metavar="URL", help="address of the centre; default: work alone")
    parser.add_argument("--force", action="store_true", help="overwrite a file that is there")
    parser.add_argument("--json", action="store_true", help="print {path, host, port, reachable, reason}")


def run(args: argparse.Namespace, context: Context) -> int:
    path = config_path.new(args.config, context.environ)
    if path is not None and path.exists() and not args.force:
        raise UsageError(f"{path} is there already; overwrite it with --force or name another with -c FILE")
    answers = _ask(args, context)
    text = context.app.starter_text(
        device=answers.device,
        host=answers.host,
        port=answers.port,
        unit_id=answers.unit_id,
        central=answers.central,
        service=path is not None and path.absolute() == config_path.SYSTEM,
    )
    if path is None:
        context.out.write(text)
    else:
        _write(path, text)
    reason = _probe(answers, context)
    _report(path, answers, reason, context, as_json=args.json)
    return ExitCode.GOOD


def _ask(args: argparse.Namespace, context: Context) -> _Answers:
    """The flags' answers; on a terminal it asks for what they leave open."""
    asks = context.stdin.isatty() and context.err.isatty() and not args.json
    ask = _Prompt(context) if asks else _Defaults()
    device = args.id or ask.text("device id", device_id(platform.node()))
    if device_id(device) != device:
        raise UsageError(f"{device!r} is no device id; use a-z, 0-9 and -, at most {_MAX_ID}: --id DEVICE")
    host = args.host or ask.text("address of the PLC", EXAMPLE_HOST)
    port = args.port if args.port is not None else ask.number("its Modbus TCP port", _PORT)
    unit = args.unit if args.unit is not None else ask.number("its unit id", _UNIT)
    if not 1 <= port <= 65_535:
        raise UsageError(f"{port} is no port; use 1 to 65535: --port PORT")
    if not 0 <= unit <= 255:
        raise UsageError(f"{unit} is no unit id; use 0 to 255: --unit UNIT")
    return _Answers(device, host, port, unit, args.central or ask.text("address of the centre", "") or None)


class _Defaults:
    """Nobody is there to ask."""

    def text(self, _: str, default: str) -> str:
        return default

    def number(self, _: str, default: int) -> int:
        return default


class _Prompt(_Defaults):
    def __init__(self, context: Context) -> None:
        self._context = context

    def text(self, question: str, default: str) -> str:
        self._context.err.write(f"{question} [{default or 'none'}]: ")
        self._context.err.flush()
        return self._context.stdin.readline().strip() or default

    def number(self, question: str, default: int) -> int:
        answer = self.text(question, str(default))
        try:
            return int(answer)
        except ValueError as error:
            raise UsageError(f"{answer!r} is no number ({question})") from error


def device_id(name: str) -> str:
    """A device id made of any name: `Press Shop_01.local` → `press-shop-01`."""
    text = re.sub(r"[^a-z0-9]+", "-", name.split(".", maxsplit=1)[0].lower())
    return text[:_MAX_ID].strip("-") or "edge-01"


def _write(path: Path, text: str) -> None:
    from edge_agent.runtime.atomic import write_atomic

    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, text.encode(), mode=0o640)


def _probe(answers: _Answers, context: Context) -> str | None:
    import asyncio

    if answers.host == EXAMPLE_HOST:
        return "not tried: this is an example address"
    return asyncio.run(context.app.probe(DRIVER, answers.host, answers.port, answers.unit_id, _PROBE_SECONDS))


def _report(
    path: Path | None, answers: _Answers, reason: str | None, context: Context, *, as_json: bool
) -> None:
    where = f"{answers.host}:{answers.port}"
    if as_json and path is not None:
        context.print_json(
            {
                "path": str(path),
                "host": answers.host,
                "port": answers.port,
                "reachable": reason is None,
                "reason": reason,
            }
        )
        return
    if path is not None:
        context.print(f"wrote {path}")
    if reason is None:
        (context.warn if path is None else context.print)(f"{where} answers")
    else:
        context.warn(f"warning: {where} does not answer: {reason}")
    if path is not None:
        context.print(f"next: list your tags in {path}, then run `edge-agent read -c {path}`")
