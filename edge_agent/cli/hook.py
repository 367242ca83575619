"""`edge-agent hook`: a site's scripts tried, and signed. Works beside a running agent and does not touch it.

Exit code 1: `test` failed, or `verify` found no signature that counts.
"""

import argparse
from pathlib import Path
from typing import Final

from edge_agent.cli import config_path, hook_script, hook_test
from edge_agent.cli.context import Context, UsageError
from edge_agent.cli.text import Palette, printable
from edge_agent.contracts.exit_codes import ExitCode

NAME: Final = "hook"
HELP: Final = "try the site's own scripts, and sign them"
EXAMPLE: Final = hook_test.EXAMPLE

_KEY: Final = "plant=ed25519:jRVMEBQ1mMyyFMzTWyOg4CjtbgDAwIhYU0Sm6jH44SM="

_MAX_PASSPHRASE_BYTES: Final = 4_096


def add_arguments(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="hook_command", metavar="COMMAND", required=True, help="what to do")
    for name, about, example, runs, extend in _COMMANDS:
        text, line = f"{about[0].upper()}{about[1:]}.", f"example: {example}"
        child = commands.add_parser(name, help=about, description=text, epilog=line)
        extend(child)
        child.set_defaults(hook_run=runs)


def run(args: argparse.Namespace, context: Context) -> int:
    code: int = args.hook_run(args, context)
    return code


# --- keygen --------------------------------------------------------------------------------------------


def _keygen_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="where the private key goes; must not be there yet")
    parser.add_argument(
        "--name", metavar="NAME", default="plant-engineering", help="of the key in the config"
    )
    _passphrase_argument(parser, "put the private key under this file's first line")
    parser.add_argument("--json", action="store_true", help="print the public key as JSON")


def _keygen(args: argparse.Namespace, context: Context) -> int:
    public = context.app.hook_desk().new_key(Path(args.file), _passphrase(args))
    if args.json:
        context.print_json({"name": args.name, "public": public, "file": args.file})
        return ExitCode.GOOD
    context.print(
        f"# The private key is in {args.file}: keep it off gateways and the centre. In edge-agent.yaml:"
    )
    context.print(f"hooks:\n  require_signature:\n    {args.name}: {public}")
    return ExitCode.GOOD


# --- sign ----------------------------------------------------------------------------------------------


def _sign_arguments(parser: argparse.ArgumentParser) -> None:
    hook_script.add_arguments(parser)
    parser.add_argument("--key", metavar="FILE", required=True, help="the private key")
    parser.add_argument("--as", dest="key_name", metavar="NAME", required=True, help=_KEY_NAME)
    _passphrase_argument(parser, "open the private key with this file's first line")
    parser.add_argument(
        "--out", metavar="FILE", help="write the document there; default: the standard output"
    )
    parser.add_argument("--json", action="store_true", help="the document, as without it")


def _sign(args: argparse.Namespace, context: Context) -> int:
    desk, script = context.app.hook_desk(), hook_script.chosen(args, context).script
    signed = desk.sign(script, args.key_name, Path(args.key), _passphrase(args))
    if args.out is None:
        context.print_json(signed)
        return ExitCode.GOOD
    desk.write_document(signed, Path(args.out))
    context.warn(f"{signed.mark} with the signature of {args.key_name} is in {args.out}")
    return ExitCode.GOOD


# --- verify --------------------------------------------------------------------------------------------


def _verify_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="the script with its settings, as `hook sign` writes it")
    parser.add_argument(
        "-c", "--config", metavar="FILE", help="config whose hooks.require_signature has the keys"
    )
    parser.add_argument(
        "--key", metavar="NAME=KEY", action="append", default=[],
        help="a public key in place of those of a config; may be repeated",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print what was found as JSON")


def _verify(args: argparse.Namespace, context: Context) -> int:
    desk = context.app.hook_desk()
    if args.key and args.config:
        raise UsageError("--key and -c exclude each other")
    keys = dict(_named_key(text) for text in args.key)
    keys = keys or dict(desk.required_keys(config_path.existing(args.config, context.environ)))
    script = desk.choose(file=Path(args.file), config=None, hook=None, given={}, trial=False).script
    signer = desk.signer(script, keys)
    signatures = [each.key for each in script.signatures]
    if args.json:
        context.print_json(
            {"script": script.mark, "signed_by": signer, "signatures": signatures, "keys": sorted(keys)}
        )
    elif signer is not None:
        context.print(f"{Palette(context.colours).paint('✓', 'good')} {script.mark}: signed by {signer}")
    else:
        made = ", ".join(signatures) or "nobody"
        wanted = ", ".join(sorted(keys)) or "no key: hooks.require_signature is empty"
        context.print(
            f"{Palette(context.colours).paint('✗', 'bad')} {script.mark}: signed by "
            f"{printable(made)}; what counts: {printable(wanted)}"
        )
    return ExitCode.FOUND if signer is None else ExitCode.GOOD


def _named_key(text: str) -> tuple[str, str]:
    name, sign, key = text.partition("=")
    if not (name and sign and key):
        raise UsageError(f"--key {text}: write NAME=ed25519:…")
    return name, key


# --- points, stubs -------------------------------------------------------------------------------------


def _points_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("point", nargs="?", choices=hook_script.POINTS, help="this one alone")
    parser.add_argument("--json", action="store_true", help="print them as JSON")


def _points(args: argparse.Namespace, context: Context) -> int:
    found = [each for each in context.app.hook_desk().points() if args.point in (None, each["point"])]
    if args.json:
        context.print_json(found)
        return ExitCode.GOOD
    palette = Palette(context.colours)
    for number, each in enumerate(found):
        if number:
            context.print("")
        context.print(palette.paint(each["signature"], "bold"))
        for name in ("when", "reads", "makes"):
            context.print(f"  {name}: {each[name]}")
        context.print("")
        for line in each["example"].splitlines():
            context.print(f"    {line}".rstrip())
    return ExitCode.GOOD


def _stubs_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "directory", metavar="DIR", help="where the scripts are, or what the editor looks into"
    )
    parser.add_argument("--json", action="store_true", help="print the path as JSON")


def _stubs(args: argparse.Namespace, context: Context) -> int:
    written = context.app.hook_desk().write_stubs(Path(args.directory))
    if args.json:
        context.print_json({"path": str(written)})
    else:
        context.print(f"{printable(str(written))}: from holdfast_hooks import Frame, State")
    return ExitCode.GOOD


# --- parts ---------------------------------------------------------------------------------------------


def _passphrase_argument(parser: argparse.ArgumentParser, about: str) -> None:
    parser.add_argument("--passphrase-file", metavar="FILE", help=about)


def _passphrase(args: argparse.Namespace) -> bytes | None:
    if args.passphrase_file is None:
        return None
    with Path(args.passphrase_file).open("rb") as stream:
        found = stream.readline(_MAX_PASSPHRASE_BYTES).rstrip(b"\r\n")
    if not found:
        raise UsageError(f"{args.passphrase_file}: its first line is empty")
    return found


_KEY_NAME: Final = "the key's name in hooks.require_signature"
_COMMANDS: Final = (
    ("test", hook_test.ABOUT, hook_test.EXAMPLE, hook_test.run, hook_test.add_arguments),
    ("points", "tell where scripts are run, what they are given, and an example of each",
     "edge-agent hook points transform", _points, _points_arguments),
    ("stubs", "write types of what scripts are given, so that editors complete",
     "edge-agent hook stubs hooks/", _stubs, _stubs_arguments),
    ("keygen", "make a key that signs scripts", "edge-agent hook keygen plant.pem --name plant-engineering",
     _keygen, _keygen_arguments),
    ("sign", "sign a script with its settings, as a document that the centre takes",
     "edge-agent hook sign oil.py --groups 'press1.*' --key plant.pem --as plant-engineering --out oil.json",
     _sign, _sign_arguments),
    ("verify", "tell whether one of the required keys signed a script",
     f"edge-agent hook verify oil.json --key {_KEY}", _verify, _verify_arguments),
)  # fmt: skip
