"""What `central-sync token` and `central-sync user` do. They work beside a running centre."""

import argparse
import getpass
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from central_sync import app
from central_sync.app import people
from central_sync.cli.options import settings_of


def token(options: argparse.Namespace) -> int:
    return _TOKEN_ACTIONS[options.action](options)


def user(options: argparse.Namespace) -> int:
    return _USER_ACTIONS[options.action](options)


def _say(options: argparse.Namespace, value: Any, text: str) -> int:
    """One answer, for programs or for people."""
    print(orjson.dumps(value).decode() if options.json else text, flush=True)
    return app.ExitCode.GOOD


def _when(time: int) -> str:
    return datetime.fromtimestamp(time / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


# --- tokens -------------------------------------------------------------------------------------------------


def _token_create(options: argparse.Namespace) -> int:
    data = settings_of(options).data
    limits = people.labels_of(options.label)
    if options.device is not None:
        if options.name or options.expires or limits or options.area:
            raise app.Invalid("bad_use", "--name, --expires, --label and --area go with --role")
        text, row = people.create_token(data, None, options.device)
    else:
        text, row = people.create_limited_token(
            data, options.role, options.name, limits, options.area or None, options.expires
        )
    return _say(options, {"token": text, **_token(row)}, text)


def _token_list(options: argparse.Namespace) -> int:
    found = people.list_tokens(settings_of(options).data)
    return _say(options, [_token(row) for row in found], "\n".join(_token_line(row) for row in found))


def _token_line(row: app.TokenRow) -> str:
    parts = [row.id, _when(row.created), f"role {row.role}" if row.role else f"device {row.device}"]
    if row.name:
        parts.append(row.name)
    parts += [f"{key}={value}" for key, value in row.labels.items()]
    if row.areas is not None:
        parts.append(",".join(sorted(row.areas)))
    if row.expires is not None:
        parts.append(f"until {_when(row.expires)}")
    if row.revoked:
        parts.append("revoked")
    return "  ".join(parts)


def _token(row: app.TokenRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "role": row.role,
        "device": row.device,
        "name": row.name,
        "user": row.user,
        "labels": row.labels,
        "areas": None if row.areas is None else sorted(row.areas),
        "created": row.created,
        "expires": row.expires,
        "revoked": row.revoked,
        "last_used": row.last_used,
    }


def _token_revoke(options: argparse.Namespace) -> int:
    parts = options.id.split("_", 2)
    token_id = parts[1] if len(parts) == 3 and parts[0] == "hf" else options.id
    if not people.revoke_token(settings_of(options).data, token_id):
        raise app.NotFound("unknown_token", f"there is no token {token_id}")
    return _say(options, {"id": token_id, "revoked": True}, f"revoked {token_id}")


# --- people -------------------------------------------------------------------------------------------------


def _password(options: argparse.Namespace) -> str:
    if options.password_stdin or not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    first = getpass.getpass("Password: ")
    if getpass.getpass("The same again: ") != first:
        raise app.Invalid("bad_use", "the two passwords differ")
    return first


def _user_create(options: argparse.Namespace) -> int:
    data = settings_of(options).data
    password = _password(options) if options.password_stdin else None
    made = people.create_user(
        data, options.login, options.name, options.role, people.labels_of(options.label), password
    )
    if password is not None:
        return _say(options, {"user": _user(made), "link": None}, f"created {made.login}")
    _warn_without_passwords()
    link = people.setup_link(data, made.login, options.url)
    return _say(
        options, {"user": _user(made), "link": _link(link)}, f"created {made.login}\n{_link_text(link)}"
    )


def _user_list(options: argparse.Namespace) -> int:
    found = people.list_users(settings_of(options).data)
    return _say(options, [_user(row) for row in found], "\n".join(_user_line(row) for row in found))


def _user_line(row: people.UserView) -> str:
    parts = [row.login, f"role {row.role}", row.name]
    parts += [f"{key}={value}" for key, value in row.labels.items()]
    parts.append(f"last login {_when(row.last_login)}" if row.last_login else "never logged in")
    if row.disabled is not None:
        parts.append("disabled")
    return "  ".join(part for part in parts if part)


def _user(row: people.UserView) -> Any:
    return row.model_dump(mode="json")


def _user_disable(options: argparse.Namespace) -> int:
    row = people.patch_user(settings_of(options).data, options.login, disabled=True)
    return _say(options, _user(row), f"disabled {row.login}")


def _user_enable(options: argparse.Namespace) -> int:
    row = people.patch_user(settings_of(options).data, options.login, disabled=False)
    return _say(options, _user(row), f"enabled {row.login}")


def _user_password(options: argparse.Namespace) -> int:
    people.set_password(settings_of(options).data, options.login, _password(options))
    return _say(options, {"login": options.login}, f"set the password of {options.login}")


def _user_role(options: argparse.Namespace) -> int:
    row = people.patch_user(settings_of(options).data, options.login, role=options.role)
    return _say(options, _user(row), f"{row.login} has the role {row.role}")


def _warn_without_passwords() -> None:
    """The link is good once the extra is there: the centre may also have it where this command has not."""
    if (lacks := people.lacks_passwords()) is not None:
        print(f"central-sync: warning: nobody can log in yet: {lacks}", file=sys.stderr)


def _user_link(options: argparse.Namespace) -> int:
    _warn_without_passwords()
    link = people.setup_link(settings_of(options).data, options.login, options.url)
    return _say(options, _link(link), _link_text(link))


def _link(link: people.Link) -> dict[str, Any]:
    return {"link": link.url, "expires": link.expires}


def _link_text(link: people.Link) -> str:
    where = "" if "://" in link.url else " below the centre's address"
    return f"{link.url}\ngood once, until {_when(link.expires)}{where}"


_TOKEN_ACTIONS: Final[dict[str, Callable[[argparse.Namespace], int]]] = {
    "create": _token_create,
    "list": _token_list,
    "revoke": _token_revoke,
}
_USER_ACTIONS: Final[dict[str, Callable[[argparse.Namespace], int]]] = {
    "create": _user_create,
    "list": _user_list,
    "disable": _user_disable,
    "enable": _user_enable,
    "set-password": _user_password,
    "set-role": _user_role,
    "setup-link": _user_link,
}
