"""The words of `central-sync enrol-token` and `central-sync device`."""

import argparse
from pathlib import Path
from typing import Any

from central_sync.cli.words import Parser, add_settings, verb


def add_enrol_token(commands: "argparse._SubParsersAction[Parser]") -> None:
    example = "central-sync enrol-token create --device press-1 --url https://central.example.com"
    command = verb(commands, "enrol-token", "prepare enrolments of devices, and end them", example)
    actions = command.add_subparsers(dest="action", required=True, metavar="ACTION")
    create = verb(actions, "create", "print an enrolment token; it is shown this once", example)
    create.add_argument("--device", metavar="ID", help="the device it is for; default: any new one")
    create.add_argument("--serial", metavar="NUMBER", help="other hardware is turned away")
    create.add_argument("--zone", metavar="NAME", help="zone of the devices; becomes the label zone")
    create.add_argument(
        "--label",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="label of the devices, again for more",
    )
    create.add_argument("--uses", type=int, metavar="N", help="how many devices may enrol; default: 1")
    create.add_argument("--valid", metavar="DURATION", help="how long: 30m, 24h, 7d; default: 24h")
    create.add_argument("--url", help="the centre's address; default: the setting enrolment.url")
    create.add_argument(
        "--ca-file", type=Path, metavar="FILE",
        help="certificate that devices must meet; default: enrolment.ca_file, or tls.cert",
    )  # fmt: skip
    create.add_argument("--note", metavar="TEXT", help="for people")
    listing = verb(actions, "list", "list prepared enrolments", "central-sync enrol-token list --json")
    revoke = verb(actions, "revoke", "end a token", "central-sync enrol-token revoke 3f9c2a17b0de")
    revoke.add_argument("id", metavar="ID", help="the pre-registration's id")
    _with_settings(create, listing, revoke)


def add_device(commands: "argparse._SubParsersAction[Parser]") -> None:
    example = "central-sync device pending"
    command = verb(commands, "device", "accept devices, and end their credentials", example)
    actions = command.add_subparsers(dest="action", required=True, metavar="ACTION")
    pending = verb(actions, "pending", "list devices that wait to be accepted", example)
    accept = verb(actions, "accept", "accept one that waits", "central-sync device accept 3f9c2a17b0de")
    accept.add_argument(
        "request", metavar="REQUEST", help="its id in `device pending`; the device shows the same"
    )
    accept.add_argument("--device", metavar="ID", help="where it named no id of its own")
    accept.add_argument("--zone", metavar="NAME", help="its zone")
    accept.add_argument("--label", action="append", default=[], metavar="KEY=VALUE", help="its label")
    reject = verb(actions, "reject", "turn one away", "central-sync device reject 3f9c2a17b0de")
    reject.add_argument("request", metavar="REQUEST", help="its id in `device pending`")
    reject.add_argument("--reason", default="", metavar="TEXT", help="told to the device")
    listing = verb(
        actions, "credentials", "list a device's credentials", "central-sync device credentials press-1"
    )
    listing.add_argument("device", metavar="ID", help="the device")
    revoke = verb(
        actions, "revoke", "revoke a device's credentials; acts on its next request",
        "central-sync device revoke press-1",
    )  # fmt: skip
    revoke.add_argument("device", metavar="ID", help="the device")
    revoke.add_argument("--credential", metavar="CREDENTIAL", help="this one alone; default: all")
    _with_settings(pending, accept, reject, listing, revoke)


def _with_settings(*actions: Any) -> None:
    for action in actions:
        add_settings(action)
