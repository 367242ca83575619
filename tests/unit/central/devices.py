"""What tests of devices share: tokens with limits."""

from central_sync.services.access.roles import Role
from central_sync.services.access.tokens import mint
from central_sync.services.audit.entries import Actor
from central_sync.store.tokens import insert_token
from tests.unit.central.conftest import House
from tests.unit.central.edge import T0


async def give_token(house: House, name: str, role: Role, **labels: str) -> None:
    """A token for `house.ask(…, name)`, limited to devices with these labels."""
    text, row = mint(role, None, T0, name=name, labels=labels)
    await house.centre.store.write(lambda connection: insert_token(connection, row, Actor("cli", "test")))
    house.tokens[name] = text
