"""What `central-sync enrol-token` and `central-sync device` do. They work beside a running centre."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from central_sync import app
from central_sync.app import enrolment, people
from central_sync.cli.options import settings_of


def enrol_token(options: argparse.Namespace) -> int:
    return _TOKEN_ACTIONS[options.action](options)


def device(options: argparse.Namespace) -> int:
    return _DEVICE_ACTIONS[options.action](options)


def _say(options: argparse.Namespace, value: Any, lines: Sequence[str]) -> int:
    """One answer, for programs or for people."""
    text = orjson.dumps(value).decode() if options.json else "\n".join(lines)
    if text:
        print(text, flush=True)
    return app.ExitCode.GOOD


def _when(time: int | None) -> str:
    if time is None:
        return "for ever"
    return datetime.fromtimestamp(time / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _labels(given: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals:
            raise app.Invalid("bad_label", f"--label {text}: needs KEY=VALUE")
        found[key] = value
    return found


def _token_create(options: argparse.Namespace) -> int:
    settings = settings_of(options)
    made = enrolment.prepare_enrolment(
        settings,
        people.cli_actor(),
        options.ca_file,
        options.valid,
        device_id=options.device,
        serial=options.serial,
        zone=options.zone,
        labels=_labels(options.label),
        uses=options.uses,
        url=options.url,
        note=options.note,
    )
    return _say(options, made.model_dump(mode="json"), [made.token])


def _token_list(options: argparse.Namespace) -> int:
    found = enrolment.list_enrolments(settings_of(options))
    lines = [
        f"{item.id}  {item.state}  {item.used} of {item.uses}  until {_when(item.expires)}  "
        f"{item.device_id or 'any device'}{'  ' + item.note if item.note else ''}"
        for item in found
    ]
    return _say(options, [item.model_dump(mode="json") for item in found], lines)


def _token_revoke(options: argparse.Namespace) -> int:
    ended = enrolment.end_enrolment(settings_of(options), people.cli_actor(), options.id)
    return _say(options, ended.model_dump(mode="json"), [f"revoked {ended.id}"])


def _pending(options: argparse.Namespace) -> int:
    found = enrolment.waiting_devices(settings_of(options))
    lines = [
        f"{row.id}  {_when(row.created)}  {row.device or '(no id)'}  {row.address}  machine {row.machine}"
        f"{'  known, same machine' if row.same_machine else '  known, another machine' * row.known_device}"
        for row in found
    ]
    return _say(options, [_plain(row) for row in found], lines)


def _accept(options: argparse.Namespace) -> int:
    settings, actor = settings_of(options), people.cli_actor()
    name = enrolment.accept_device(
        settings, actor, options.request, device_id=options.device, zone=options.zone,
        labels=_labels(options.label),
    )  # fmt: skip
    return _say(options, {"request": options.request, "device_id": name}, [f"accepted as {name}"])


def _reject(options: argparse.Namespace) -> int:
    row = enrolment.reject_device(settings_of(options), people.cli_actor(), options.request, options.reason)
    return _say(options, {"request": row.id, "device_id": row.device}, [f"rejected {row.id}"])


def _credentials(options: argparse.Namespace) -> int:
    found = enrolment.list_credentials(settings_of(options), options.device)
    lines = [
        f"{row.id}  {row.state}  made {_when(row.created)}  until {_when(row.expires)}"
        f"{'  machine ' + row.machine if row.machine else ''}"
        for row in found
    ]
    return _say(options, [row.model_dump(mode="json") for row in found], lines)


def _revoke(options: argparse.Namespace) -> int:
    revoked = enrolment.revoke_credentials(
        settings_of(options), people.cli_actor(), options.device, options.credential
    )
    lines = [f"revoked {name}" for name in revoked] or ["nothing was left to revoke"]
    return _say(options, {"device_id": options.device, "revoked": revoked}, lines)


def _plain(row: enrolment.RequestRow) -> dict[str, Any]:
    found = {name: value for name, value in asdict(row).items() if name != "digest"}
    return {**found, "facts": orjson.loads(row.facts)}


_Actions = dict[str, Callable[[argparse.Namespace], int]]
_TOKEN_ACTIONS: Final[_Actions] = {"create": _token_create, "list": _token_list, "revoke": _token_revoke}
_DEVICE_ACTIONS: Final[_Actions] = {
    "pending": _pending,
    "accept": _accept,
    "reject": _reject,
    "credentials": _credentials,
    "revoke": _revoke,
}
