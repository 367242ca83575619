"""The messages of enrolment: how a device asks for a credential, and renews it."""

from typing import Annotated

from pydantic import Field

from edge_agent.wire.messages import Message, Name, Number, Text

CredentialId = Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]


class Provisioned(Message):
    """200: enrolled. The device's bearer token is `hf_<credential>_<its secret>`."""

    device_id: Name
    credential: CredentialId
    expires: Number
    url: Text | None = None
    heartbeat_interval: float | None = None
    config_etag: str | None = None


class Pending(Message):
    """202: an operator decides; ask again with the same key. request: what the operator sees it under."""

    request: Name
    retry_after: float = 10.0


class Renewed(Message):
    """200 to a renewal. The old credential ends once this one is used, and within a day anyway."""

    credential: CredentialId
    expires: Number
