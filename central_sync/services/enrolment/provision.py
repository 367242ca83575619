"""Who may have a credential: the rules of provisioning. Pure.

A token that an operator made decides at once. Without one a device waits for an operator, where the centre
lets it. The same machine gets the same device again, so that its history goes on; a device of another
machine is given away only by a token that names it, or by an operator who accepts it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from central_sync.services.errors import Conflict, Forbidden, Gone, Invalid, NotFound, Refusal

CREDENTIAL_DIGITS: Final = 12
# How long the old credential lasts beside one that was never used.
OVERLAP_MS: Final = 86_400_000


def credential_id(digest: bytes) -> str:
    """A credential's id begins its key's SHA-256: whoever lost the answer knows it all the same, and asking
    twice cannot make two."""
    return digest.hex()[:CREDENTIAL_DIGITS]


@dataclass(frozen=True, slots=True)
class Ask:
    """A device's request. digest: its key's; token: the id within its enrolment token, where it has one."""

    digest: bytes
    machine: str
    serial: str | None = None
    device: str | None = None
    token: str | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A pre-registration."""

    id: str
    device: str | None
    serial: str | None
    without_token: bool
    uses: int
    used: int
    expires: int
    revoked: int | None
    labels: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, str] = field(default_factory=dict)

    def is_open(self, now: int) -> bool:
        return self.revoked is None and now < self.expires and self.used < self.uses

    def fits(self, ask: Ask) -> bool:
        """Whether it is for this hardware."""
        return self.serial is None or self.serial in (ask.serial, ask.machine)


@dataclass(frozen=True, slots=True)
class Held:
    """A credential with this key. machine: None where it was made by hand."""

    id: str
    digest: bytes
    device: str
    machine: str | None
    expires: int | None
    revoked: int | None


@dataclass(frozen=True, slots=True)
class Known:
    """A device of the wanted id. machine: of its newest credential; enrolled: it has one, or was heard."""

    id: str
    machine: str | None
    enrolled: bool
    decommissioned: bool
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Grant:
    """A credential is made for `device`, on the strength of `way`."""

    device: str
    way: str


@dataclass(frozen=True, slots=True)
class Wait:
    """An operator decides."""


def check_held(held: Held, ask: Ask, now: int) -> None:
    """An asker that has its credential already: the same answer. Raises where it is not for this one."""
    if held.digest != ask.digest:
        raise Conflict("key_taken", "make another key and ask again: the id of this one is taken")
    if held.machine is not None and held.machine != ask.machine:
        raise Conflict("key_used", "this key is another machine's: make a new one on each machine")
    if ask.device is not None and held.device != ask.device:
        raise Conflict("key_used", f"this key is enrolled as {held.device}")
    if held.revoked is not None:
        raise Forbidden("key_revoked", "the credential of this key was revoked: make a new key")
    if held.expires is not None and now >= held.expires:
        raise Gone("key_expired", "the credential of this key has expired: make a new key")


def wanted_device(ask: Ask, prepared: Prepared | None) -> str | None:
    """Which device it would be. Raises Conflict."""
    if prepared is None or prepared.device is None:
        return ask.device
    if ask.device not in (None, prepared.device):
        raise Conflict("other_device", f"this token is for {prepared.device}, not for {ask.device}")
    return prepared.device


def by_token(prepared: Prepared | None, ask: Ask, known: Known | None, now: int) -> Grant:
    """known: the device of the wanted id, if there is one. Raises Refusal."""
    if prepared is None:
        raise NotFound("unknown_token", "this enrolment token is not one of this centre's: ask for a new one")
    refusal = _unusable(prepared, now)
    if refusal is not None:
        raise refusal
    if not prepared.fits(ask):
        raise Conflict("other_hardware", "this token is for hardware with another serial number")
    device = wanted_device(ask, prepared)
    if device is None:
        raise Invalid("no_device_id", "this token is for any device: say which with --id")
    if known is not None:
        _check_known(prepared, ask, known)
    return Grant(device, "token")


def _unusable(prepared: Prepared, now: int) -> Refusal | None:
    if prepared.revoked is not None:
        return Forbidden("token_revoked", "this enrolment token was revoked: ask for a new one")
    if prepared.used >= prepared.uses:
        return Conflict("token_used", "this enrolment token is used up: ask for a new one")
    if now >= prepared.expires:
        return Gone("token_expired", "this enrolment token has expired: ask for a new one")
    return None


def _check_known(prepared: Prepared, ask: Ask, known: Known) -> None:
    if known.decommissioned:
        raise Forbidden("decommissioned", f"{known.id} is decommissioned")
    if any(known.labels.get(key) != value for key, value in prepared.limits.items()):
        raise NotFound("unknown_device", f"this token is for no device {known.id}")
    # A token that names the device was made for it, and may give its id to new hardware.
    if prepared.device is None and known.enrolled and known.machine != ask.machine:
        raise Conflict(
            "device_taken",
            f"{known.id} is enrolled on another machine: choose another id, or ask for a token of {known.id}",
        )
    wrong = [key for key, value in prepared.labels.items() if known.labels.get(key, value) != value]
    if prepared.device is None and wrong and not known.enrolled:
        raise Conflict(
            "device_taken",
            f"{known.id} is registered with another {wrong[0]}: choose another id, or ask for a token of "
            f"{known.id}",
        )


def labels_of(prepared: Prepared, known: Known | None) -> Mapping[str, str]:
    """What the registry gets. A token that does not name the device moves none that has been placed."""
    if prepared.device is not None or known is None:
        return prepared.labels
    return {key: known.labels.get(key, value) for key, value in prepared.labels.items()}


def without_token(
    ask: Ask, prepared: Prepared | None, known: Known | None, now: int, pending: bool
) -> Grant | Wait:
    """prepared: the open pre-registration of the device that is asked for. pending: whether strangers may
    wait. Raises NotFound, the same for whatever is not known, and Forbidden."""
    if prepared is not None and prepared.is_open(now):
        if known is not None and known.decommissioned:
            raise Forbidden("decommissioned", f"{known.id} is decommissioned")
        if prepared.without_token and prepared.serial is not None and prepared.fits(ask):
            if known is not None:
                _check_known(prepared, ask, known)
            return Grant(str(prepared.device), "serial")
        return Wait()
    if not pending:
        raise NotFound("unknown_device", "this centre enrols with a token alone: ask for one")
    return Wait()
