"""What each command does with its arguments, and its exit code."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

import orjson

from central_sync import app
from central_sync.cli import enrolment, importing, operations, people
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
    return run_options(parser().parse_args(arguments))


def run_options(options: argparse.Namespace) -> int:
    """The exit code of arguments that were parsed."""
    try:
        return _COMMANDS[options.command](options)
    except (app.SettingsError, app.Invalid) as error:
        return _fail(str(error), WRONG)
    except app.Refusal as error:
        return _fail(str(error), FOUND)
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
                    "setup": None if centre.setup is None else centre.setup.url,
                }
            )
        else:
            print(f"listening on {centre.url}", flush=True)
            if centre.setup is not None:
                print(f"no user yet; good once, for 24 hours: {centre.setup.url}", flush=True)
            elif (lacks := app.lacks_passwords()) is not None:
                print(f"nobody can log in, tokens alone work: {lacks}", flush=True)

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


_COMMANDS: Final[dict[str, Callable[[argparse.Namespace], int]]] = {
    "run": _run,
    "token": people.token,
    "user": people.user,
    "enrol-token": enrolment.enrol_token,
    "device": enrolment.device,
    "check": _check,
    "openapi": _openapi,
    "completion": _completion,
    "audit": operations.audit,
    "backup": operations.backup,
    "restore": operations.restore,
    "import-edge-config": importing.import_edge_config,
}
