"""What the API takes and answers about people, sessions and API tokens."""

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from central_sync.services.access.roles import Role

MAX_PASSWORD: Final = 256
LOGIN: Final = r"^[a-z0-9][a-z0-9._@-]{0,63}$"
AREA: Final = r"^[a-z]{1,40}:(read|write)$"

Login = Annotated[
    str,
    Field(pattern=LOGIN, description="Up to 64 of a-z, 0-9 and . _ @ -", examples=["kim"]),
]
Name = Annotated[
    str,
    Field(max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$", description="For people.", examples=["Kim Min"]),
]
# Long texts are refused before they are hashed; the shortest is the policy's business.
Password = Annotated[str, Field(min_length=1, max_length=MAX_PASSWORD, examples=["four quiet rivers run"])]
Secret = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9_-]+$")]
Time = Annotated[int, Field(ge=0, lt=1 << 53)]
LabelKey = Annotated[str, Field(pattern=r"^[^\s\x00-\x1f=!,()]{1,100}$")]
LabelValue = Annotated[str, Field(pattern=r"^[^\s\x00-\x1f=!,()]{0,200}$")]
Limits = Annotated[
    dict[LabelKey, LabelValue],
    Field(
        max_length=20,
        description="Only devices that carry all of these labels in the registry exist for it; {}: all do.",
        examples=[{"site": "north"}],
    ),
]
Areas = Annotated[
    list[Annotated[str, Field(pattern=AREA)]],
    Field(
        max_length=100,
        description="`TAG:read` and `TAG:write` of the API's tags that it may use; null: all.",
        examples=[["devices:read", "values:read"]],
    ),
]


class _Given(BaseModel):
    model_config = ConfigDict(defer_build=True, frozen=True)


class _Taken(BaseModel):
    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")


class LoginBody(_Taken):
    login: Annotated[str, Field(min_length=1, max_length=100, examples=["kim"])]
    password: Password


class SetupBody(_Taken):
    """A link's token and the password to set; login and name where it makes the first admin."""

    token: Annotated[Secret, Field(description="What follows `#` in the link.", examples=["A" * 43])]
    password: Password
    login: Login | None = None
    name: Name | None = None


class PasswordBody(_Taken):
    current: Password
    new: Password


class Me(_Given):
    """Who asks. session: its id, where a person is logged in."""

    kind: Literal["user", "token"]
    id: str
    login: str | None
    name: str
    role: Role
    labels: Limits
    areas: Areas | None
    session: str | None


class SessionView(_Given):
    id: str
    created: int
    last_used: int
    expires: int
    address: str = Field(examples=["192.0.2.7"])
    agent: str = Field(description="The browser, as it called itself.", examples=["Mozilla/5.0"])
    current: bool = Field(description="Whether it is the one that asks.")


class SessionPage(_Given):
    items: list[SessionView]
    next: str | None = None


class UserView(_Given):
    id: str = Field(examples=["3f9c2a51d07e"])
    login: str = Field(examples=["kim"])
    name: str = Field(examples=["Kim Min"])
    role: Role
    labels: Limits
    created: int
    last_login: int | None
    disabled: int | None = Field(description="Since when he may not log in; his tokens rest too.")
    has_password: bool


class UserPage(_Given):
    items: list[UserView]
    next: str | None


class NewUser(_Taken):
    login: Login
    name: Name = ""
    role: Role
    labels: Limits = {}


class UserPatch(_Taken):
    """What is left out stays."""

    name: Name | None = None
    role: Role | None = None
    labels: Limits | None = None
    disabled: bool | None = None


class SetupLink(_Given):
    """A one-time link to set a password. path: below the centre's address; shown this once."""

    path: str = Field(examples=["/setup#" + "A" * 43])
    expires: int


class UserCreated(_Given):
    """link: for the new user to set his password; null where the Idempotency-Key came before."""

    user: UserView
    link: SetupLink | None


class NewToken(_Taken):
    name: Annotated[Name, Field(min_length=1, examples=["shift report"])]
    role: Role
    labels: Limits = {}
    areas: Areas | None = None
    expires: Time | None = Field(None, description="UTC milliseconds; null: it does not expire.")


class TokenView(_Given):
    id: str = Field(examples=["3f9c2a51d07e"])
    name: str = Field(examples=["shift report"])
    role: Role
    user: str | None = Field(description="Whose it is: an id; null where the command line made it.")
    labels: Limits
    areas: Areas | None
    created: int
    expires: int | None
    revoked: int | None
    last_used: int | None = Field(description="Within minutes.")


class TokenPage(_Given):
    items: list[TokenView]
    next: str | None


class TokenCreated(_Given):
    """secret: what goes into `Authorization: Bearer`, shown this once; null where the Idempotency-Key came
    before."""

    token: TokenView
    secret: str | None = Field(examples=["hf_3f9c2a51d07e_" + "A" * 43])
