"""Asking the centre for a credential: the rules, and one exchange of it. The key is on the disk before."""

import platform
from dataclasses import dataclass
from enum import Enum
from typing import Final

import orjson
from pydantic import ValidationError

from edge_agent import __version__
from edge_agent.uplink.client import problem_text, retry_seconds
from edge_agent.uplink.transport import Reply
from edge_agent.wire.enrolment import Pending, Provisioned

MAX_WAIT_SECONDS: Final = 900.0


@dataclass(frozen=True, slots=True)
class Hardware:
    """What the agent says of the machine that it runs on."""

    machine: str
    serial: str | None = None


class Refusal(Enum):
    """Why there is no credential, by what has to happen.

    KEY: this key will never do; ask with a new one. TOKEN: somebody has to do something first. LATER: the
    centre may say something else the next time.
    """

    KEY = "key"
    TOKEN = "token"  # noqa: S105
    LATER = "later"


@dataclass(frozen=True, slots=True)
class Refused:
    kind: Refusal
    code: str
    text: str
    wait_seconds: float = 0.0


Outcome = Provisioned | Pending | Refused
_NEW_KEY: Final = frozenset({"key_taken", "key_used", "key_revoked", "key_expired"})


def request(device: str | None, token: str | None, key: str, hardware: Hardware) -> bytes:
    """The body of the request."""
    facts = {
        "hostname": platform.node()[:200],
        "version": __version__,
        "os": f"{platform.system()} {platform.release()}"[:200],
        "arch": platform.machine()[:200],
    }
    body = {
        "device_id": device,
        "token": token,
        "key": key,
        "machine": hardware.machine,
        "serial": hardware.serial,
        "facts": facts,
    }
    return orjson.dumps({name: value for name, value in body.items() if value is not None})


def judge(reply: Reply) -> Outcome:
    """What an answer means. Answers that no centre would give are refusals for later."""
    try:
        if reply.status == 200:
            return Provisioned.model_validate_json(reply.body)
        if reply.status == 202:
            return Pending.model_validate_json(reply.body)
    except ValidationError:
        return Refused(Refusal.LATER, "", f"{reply.status}, but the answer is not the centre's")
    code, text = _code(reply.body), problem_text(reply.body)
    if reply.status in (429, 503):
        return Refused(Refusal.LATER, code, text, retry_seconds(reply.retry_after))
    if not code or reply.status not in (400, 403, 404, 409, 410):
        return Refused(Refusal.LATER, code, f"{reply.status}: {text}")
    return Refused(Refusal.KEY if code in _NEW_KEY else Refusal.TOKEN, code, text)


def _code(body: bytes) -> str:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ""
    code = document.get("code") if isinstance(document, dict) else None
    return code if isinstance(code, str) else ""
