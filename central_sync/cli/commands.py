"""What each command does with its arguments, and its exit code."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from central_sync import app
from central_sync.cli import operations
from central_sync.cli.arguments import parser
from central_sync.cli.options import settings_of

GOOD, FOUND, WRONG, UNREACHABLE, FAILED = (
    app.ExitCode.GOOD,
    app.ExitCode.FOUND,
    app.ExitCode.WRONG,
    app.ExitCode.UNREACHABLE,
    app.ExitCode.FAILED,
)


def run_command(arguments: Sequence[str]) -> int:
    """The exit code. Wrong words end in argparse's SystemExit with 2."""
    options = parser().parse_args(arguments)
    try:
        return _COMMANDS[options.command](options)
    except (app.SettingsError, app.Invalid) as error:
        return _fail(str(error), WRONG)
    except (app.CannotOpen, app.CannotListen) as error:
        return _fail(str(error), UNREACHABLE)
    except app.StorageLost as error:
        return _fail(str(error), FAILED)


def _fail(message: str, code: int) -> int:
    print(f"central-sync: {message}", file=sys.stderr)
    return code


def _print_json(value: Any) -> None:
    print(orjson.dumps(value).decode(), flush=True)


def _run(options: argparse.Namespace) -> int:
    settings = settings_of(options)

    def ready(centre: app.Centre) -> None:
        if options.json:
            _print_json(
                {
                    "event": "ready",
                    "url": centre.url,
                    "host": centre.host,
                    "port": centre.port,
                    "centre": centre.centre,
                    "data": str(settings.data),
                    "pid": os.getpid(),
                }
            )
        else:
            print(f"listening on {centre.url}", flush=True)

    app.run(settings, ready)
    return GOOD


def _check(options: argparse.Namespace) -> int:
    problems = app.check(settings_of(options))
    if options.json:
        _print_json({"ok": not problems, "problems": problems})
    else:
        print("\n".join(problems) if problems else "ok")
    return FOUND if problems else GOOD


def _openapi(options: argparse.Namespace) -> int:
    if options.markdown:
        sys.stdout.write(app.api_markdown())
    else:
        print(orjson.dumps(app.openapi_document(), option=orjson.OPT_INDENT_2).decode())
    return GOOD


def _completion(options: argparse.Namespace) -> int:
    from central_sync.cli import completion

    sys.stdout.write(completion.script(options.shell))
    return GOOD


def _token(options: argparse.Namespace) -> int:
    return _TOKEN_ACTIONS[options.action](options)


def _token_create(options: argparse.Namespace) -> int:
    text, row = app.create_token(settings_of(options).data, options.role, options.device)
    if options.json:
        _print_json({"token": text, **_describe(row)})
    else:
        print(text)
    return GOOD


def _token_list(options: argparse.Namespace) -> int:
    found = app.list_tokens(settings_of(options).data)
    if options.json:
        _print_json([_describe(row) for row in found])
        return GOOD
    for row in found:
        created = datetime.fromtimestamp(row.created / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        whom = f"role {row.role}" if row.role else f"device {row.device}"
        print(f"{row.id}  {created}  {whom}{'  revoked' if row.revoked else ''}")
    return GOOD


def _token_revoke(options: argparse.Namespace) -> int:
    parts = options.id.split("_", 2)
    token_id = parts[1] if len(parts) == 3 and parts[0] == "hf" else options.id
    if not app.revoke_token(settings_of(options).data, token_id):
        return _fail(f"there is no token {token_id}", FOUND)
    if options.json:
        _print_json({"id": token_id, "revoked": True})
    else:
        print(f"revoked {token_id}")
    return GOOD


def _describe(row: app.TokenRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "role": row.role,
        "device": row.device,
        "created": row.created,
        "revoked": row.revoked,
    }


_TOKEN_ACTIONS: Final[dict[str, Callable[[argparse.Namespace], int]]] = {
    "create": _token_create,
    "list": _token_list,
    "revoke": _token_revoke,
}
_COMMANDS: Final[dict[str, Callable[[argparse.Namespace], int]]] = {
    "run": _run,
    "token": _token,
    "check": _check,
    "openapi": _openapi,
    "completion": _completion,
    "audit": operations.audit,
    "backup": operations.backup,
    "restore": operations.restore,
}
