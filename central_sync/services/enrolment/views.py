"""What enrolment takes and answers: models of the API and of the command line."""

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from central_sync.services.access.tokens import DEVICE_ID

MAX_USES: Final = 10_000
LONGEST_SECONDS: Final = 365 * 86_400

# No control characters: they are for terminals.
_CLEAN: Final = r"^[^\x00-\x1f\x7f]*$"
Text = Annotated[str, Field(max_length=200, pattern=_CLEAN)]
Serial = Annotated[str, Field(min_length=1, max_length=128, pattern=_CLEAN)]
DeviceId = Annotated[str, Field(pattern=f"^{DEVICE_ID.pattern}$")]
LabelKey = Annotated[str, Field(pattern=r"^[A-Za-z0-9](?:[A-Za-z0-9_./-]{0,61}[A-Za-z0-9])?$")]
LabelValue = Annotated[str, Field(max_length=128, pattern=_CLEAN)]
Labels = Annotated[dict[LabelKey, LabelValue], Field(max_length=32)]
Key = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Body(BaseModel):
    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")


class PreRegister(_Body):
    """An enrolment that an operator prepares. Without a device the token is for any new one, `uses` times."""

    device_id: DeviceId | None = Field(
        None, description="The device it is for; absent: any that is not enrolled yet.", examples=["press-1"]
    )
    serial: Serial | None = Field(
        None, description="Serial number or machine id: other hardware is turned away.", examples=["SN-4711"]
    )
    without_token: bool = Field(
        False,
        description="Take the device with this id and serial even without the token. A serial is no secret: "
        "only where the network is trusted.",
    )
    zone: LabelValue | None = Field(
        None, description="Zone of the devices; becomes the label `zone`.", examples=["hall-2"]
    )
    labels: Labels = Field({}, description="Labels the registry gives them.", examples=[{"site": "north"}])
    uses: int = Field(1, ge=1, le=MAX_USES, description="How many devices may enrol with the token.")
    valid_seconds: int = Field(86_400, ge=60, le=LONGEST_SECONDS, description="How long the token is good.")
    url: Annotated[str, Field(max_length=500, pattern=r"^https?://[^\s@]+$")] | None = Field(
        None, description="The centre's address for the device; absent: the setting `enrolment.url`, or the "
        "address of this request.", examples=["https://central.example.com"],
    )  # fmt: skip
    note: Text = Field("", description="For people.", examples=["order 2031"])


class PreRegistration(BaseModel):
    """A prepared enrolment. Its token is shown once, to who made it."""

    id: str
    device_id: str | None
    serial: str | None
    without_token: bool
    zone: str | None
    labels: dict[str, str]
    uses: int
    used: int
    note: str
    author: str
    created: int
    expires: int
    revoked: int | None
    state: Literal["open", "used", "expired", "revoked"]


class PreRegistered(PreRegistration):
    """token: for `edge-agent enroll URL --token …`; it is kept nowhere."""

    token: str
    url: str
    ca: str | None = Field(None, description="SHA-256 of the certificate that the agent must meet.")


class PreRegistrationPage(BaseModel):
    items: list[PreRegistration]
    next: str | None = None


class Facts(BaseModel):
    """What a device says of itself. Nothing is decided by it."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="ignore")

    hostname: Text = ""
    version: Text = ""
    os: Text = ""
    arch: Text = ""


class ProvisionRequest(_Body):
    """A device asks to be enrolled. Asking again with the same key gets the same answer."""

    device_id: DeviceId | None = Field(None, description="Absent: the token's device.", examples=["press-1"])
    token: Annotated[str, Field(max_length=8_192, pattern=r"^[A-Za-z0-9_.-]+$")] | None = Field(
        None, description="Enrolment token; without one an operator decides."
    )
    key: Key = Field(
        description="SHA-256 of the secret that the device made and keeps.",
        examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
    )
    machine: Serial = Field(description="Machine id.", examples=["6c0f3e1fd1a94d2bb9b6a1d4c5e8f701"])
    serial: Serial | None = Field(None, description="Serial number of the hardware.", examples=["SN-4711"])
    facts: Facts = Field(Facts())


class Provisioned(BaseModel):
    """Enrolled: the device's bearer token is `hf_<credential>_<its secret>`."""

    state: Literal["accepted"] = "accepted"
    device_id: str
    credential: str
    expires: int
    url: str | None
    heartbeat_interval: float | None
    config_etag: str | None


class ProvisionPending(BaseModel):
    """An operator must accept it; ask again with the same key."""

    state: Literal["pending"] = "pending"
    request: str
    retry_after: float


class EnrolmentRequest(BaseModel):
    """A device that waits for an operator. id: begins its key's SHA-256; the device shows the same."""

    id: str
    device_id: str | None
    machine: str
    serial: str | None
    facts: Facts
    address: str
    created: int
    asked: int
    expires: int
    known_device: bool = Field(description="The device is known: it would go on with that one's history.")
    same_machine: bool = Field(description="It is the machine that the device was enrolled on before.")


class EnrolmentRequestPage(BaseModel):
    items: list[EnrolmentRequest]
    next: str | None = None


class Accept(_Body):
    """device_id: where the device named none, or another is wanted."""

    device_id: DeviceId | None = None
    zone: LabelValue | None = None
    labels: Labels = {}


class Reject(_Body):
    reason: Text = ""


class Decided(BaseModel):
    request: str
    state: Literal["accepted", "rejected"]
    device_id: str | None


class NewKey(_Body):
    """A device renews its credential."""

    key: Key = Field(
        description="SHA-256 of the new secret.",
        examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
    )


class Renewed(BaseModel):
    """The new credential; the old one is revoked once this one is used, and ends after a day anyway."""

    credential: str
    expires: int


class CredentialView(BaseModel):
    """One of a device's credentials, without its secret."""

    id: str
    state: Literal["active", "new", "replaced", "expired", "revoked"] = Field(
        description="new: not used yet; replaced: a new one follows it and has not been used yet."
    )
    created: int
    expires: int | None
    revoked: int | None
    successor: str | None
    machine: str | None
    serial: str | None
    way: str | None = Field(description="token, serial, accepted, renewed; null: made by hand.")
    address: str | None


class CredentialList(BaseModel):
    items: list[CredentialView]
    next: str | None = None


class CredentialsRevoked(BaseModel):
    device_id: str
    revoked: list[str]
