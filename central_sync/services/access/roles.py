"""Who may do what: roles, what a route asks for, and the limits an identity carries. Pure.

Three kinds of identity ask: people (a session), programs (an API token) and devices (their own credential).
People and programs have a role, and may be limited to devices with certain labels; programs also to some
areas of the API. A device acts for itself alone. What an identity may not see does not exist for it: a
foreign device is answered with 404, and lists leave it out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from central_sync.services.errors import Forbidden, NotFound


class Role(StrEnum):
    """Each includes the ones before it. viewer: reads. operator: sends commands. engineer: configs,
    scripts, devices, enrolment. admin: people, tokens, the audit trail."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ENGINEER = "engineer"
    ADMIN = "admin"


class Scope(StrEnum):
    """Who may use a route. Devices stand apart from the roles."""

    PUBLIC = "public"
    DEVICE = "device"
    DEVICE_OR_VIEWER = "device_or_viewer"
    VIEWER = "viewer"
    OPERATOR = "operator"
    ENGINEER = "engineer"
    ADMIN = "admin"


RANK: Final = {role: rank for rank, role in enumerate(Role, 1)}
_LEAST: Final = {
    Scope.DEVICE_OR_VIEWER: Role.VIEWER,
    Scope.VIEWER: Role.VIEWER,
    Scope.OPERATOR: Role.OPERATOR,
    Scope.ENGINEER: Role.ENGINEER,
    Scope.ADMIN: Role.ADMIN,
}


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is asking. `device` is set for a device's credential, `role` for everybody else.

    id: of the token or the session's user. labels: only devices that carry all of these in the registry;
    empty: no limit. areas: `tag:read` and `tag:write` of routes that an API token is limited to; None: no
    limit. user: the id of the person behind a session or a token, where there is one. session: its id,
    where a person is logged in. expires: of an API token that has an end.
    """

    id: str
    role: Role | None = None
    device: str | None = None
    name: str = ""
    user: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    areas: frozenset[str] | None = None
    session: str | None = None
    expires: int | None = None

    @property
    def author(self) -> str:
        """How it is called in versions, commands and the audit trail."""
        return f"{self.name or self.role or self.device}:{self.id}"

    @property
    def is_limited(self) -> bool:
        """Whether it sees some devices only."""
        return bool(self.labels)

    def may_see(self, labels: Mapping[str, str]) -> bool:
        """Whether a device with these registry labels exists for it."""
        return all(labels.get(key) == value for key, value in self.labels.items())

    def has_role(self, least: Role) -> bool:
        return self.role is not None and RANK[self.role] >= RANK[least]


def area(tag: str, method: str) -> str:
    """What an API token's areas name: `devices:read`, `commands:write`."""
    return f"{tag}:{'read' if method == 'GET' else 'write'}"


def authorise(scope: Scope, identity: Identity, device: str | None, wanted: str | None = None) -> None:
    """Raises Forbidden where `identity` may not use a route of `scope` about `device`; `wanted` is the
    route's area. Whether a limited identity sees the device is asked apart: `require_sight`."""
    if identity.device is not None:
        if scope not in (Scope.DEVICE, Scope.DEVICE_OR_VIEWER):
            raise Forbidden("device_token", "a device's token is not for the operators' API")
        if identity.device != device:
            raise Forbidden("other_device", f"this token is for device {identity.device}")
        return
    least = _LEAST.get(scope)
    if least is None:
        raise Forbidden("device_only", "this needs the device's own token")
    if not identity.has_role(least):
        raise Forbidden("role", f"this needs the role {least}")
    if identity.areas is not None and wanted is not None and wanted not in identity.areas:
        raise Forbidden("area", f"this token is not for {wanted}")


def require_unlimited(identity: Identity) -> None:
    """For what concerns the whole fleet. Raises Forbidden."""
    if identity.is_limited:
        raise Forbidden("limited", "this concerns all devices, and you may see some of them only")


def require_sight(identity: Identity, device: str, labels: Mapping[str, str] | None) -> None:
    """labels: of the device in the registry; None: there is no such device. Raises NotFound, the same for
    a device that is not there and one that is not for these eyes."""
    if labels is None or not identity.may_see(labels):
        raise NotFound("unknown_device", f"there is no device {device}")
