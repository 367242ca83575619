"""`audit`, `backup` and `restore`: what they do with their arguments, and their exit codes."""

import argparse
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from central_sync.app import ExitCode, auditing, safekeeping
from central_sync.cli.options import settings_of

_TELL_SECONDS: Final = 1.0


def _print_json(value: Any) -> None:
    print(orjson.dumps(value).decode(), flush=True)


def _teller(what: str, as_json: bool) -> Callable[[int, int], None]:
    """Says how far something is, once a second: as JSON lines, or to standard error."""
    told = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal told
        if time.monotonic() - told < _TELL_SECONDS:
            return
        told = time.monotonic()
        if as_json:
            _print_json({"event": "progress", "done": done, "total": total, "unit": what})
        else:
            print(f"{done:,} of {total:,} {what}", file=sys.stderr, flush=True)

    return tell


def audit(options: argparse.Namespace) -> int:
    return _AUDIT_ACTIONS[options.action](options)


def _verify(options: argparse.Namespace) -> int:
    asked = auditing.AuditQuestion(options.checkpoint, options.key, options.since)
    data = settings_of(options).data
    verdict = auditing.verify_audit(data, asked, _teller("entries", options.json))
    wrong = verdict.wrong
    if options.json:
        found = None if wrong is None else {"no": wrong.no, "code": wrong.code, "detail": wrong.detail}
        _print_json(
            {
                "event": "verified",
                "ok": wrong is None,
                "entries": verdict.entries,
                "last": {"no": verdict.last.no, "hash": verdict.last.hash.hex()},
                "unchecked": verdict.unchecked,
                "wrong": found,
            }
        )
    elif wrong is not None:
        print(f"{wrong.code}: {wrong.detail}; {verdict.entries:,} entries before it are sound")
    else:
        print(f"{verdict.entries:,} entries are sound, up to {verdict.last.no} {verdict.last.hash.hex()}")
        if verdict.unchecked:
            print(f"{verdict.unchecked} checkpoints are older than what was walked and were not compared")
    return ExitCode.GOOD if wrong is None else ExitCode.FOUND


def _checkpoint(options: argparse.Namespace) -> int:
    # One line of JSON either way: it is made to be kept.
    print(auditing.make_checkpoint(settings_of(options).data).line(), flush=True)
    return ExitCode.GOOD


def _key(options: argparse.Namespace) -> int:
    key = auditing.audit_key(settings_of(options).data)
    if options.json:
        _print_json({"key": key})
    else:
        print(key)
    return ExitCode.GOOD


def backup(options: argparse.Namespace) -> int:
    data = settings_of(options).data
    made = safekeeping.backup(data, options.file, options.force, _teller("pages", options.json))
    if options.json:
        _print_json({"event": "done", **made.as_json()})
    else:
        print(
            f"{options.file}: {made.size_bytes / 2**20:.1f} MiB in {made.seconds:.1f} s, checked: "
            f"{made.devices} devices, {made.batches:,} batches, {made.entries:,} audit entries. "
            "It holds keys and hashes of tokens: keep it as safe as the centre"
        )
    return ExitCode.GOOD


def restore(options: argparse.Namespace) -> int:
    data = settings_of(options).data
    done = safekeeping.restore(options.file, data, options.force, _teller("pages", options.json))
    if options.json:
        _print_json({"event": "done", **done.as_json()})
        return ExitCode.GOOD
    when = datetime.fromtimestamp(done.time / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ") if done.time else "?"
    print(f"restored {data} from the backup of {when}")
    if done.aside is not None:
        print(f"what was there before is in {done.aside}")
    return ExitCode.GOOD


_AUDIT_ACTIONS: Final[dict[str, Callable[[argparse.Namespace], int]]] = {
    "verify": _verify,
    "checkpoint": _checkpoint,
    "key": _key,
}
