"""Commands between the uplink, which fetches them and reports of them, and the room that runs them."""

from typing import Protocol

from edge_agent.wire.commands import CommandOffers, CommandReport


class CommandDesk(Protocol):
    """Where orders are taken and reports are written. `commands.desk` implements it."""

    async def take(self, offers: CommandOffers) -> bool:
        """Journals what is offered, and stops what is to be cancelled. True: something in it was new.

        Raises StorageFailed where it cannot be journalled: then nothing was taken.
        """
        ...

    @property
    def busy(self) -> bool:
        """Whether a command is open, so that the centre may have to say that it shall be cancelled."""
        ...

    async def wait(self) -> list[str]:
        """The commands of which there is something to report now; waits until there is."""
        ...

    async def report(self, command: str) -> CommandReport | None:
        """What is to be said of it: the same again until it is acknowledged. None: nothing any more.

        Its number is on the disk when this returns. Raises StorageFailed.
        """
        ...

    async def acknowledged(self, command: str, no: int) -> None:
        """The centre has this report."""
        ...

    async def unacceptable(self, command: str, no: int, why: str) -> None:
        """The centre will never take this report as it is."""
        ...

    async def forget(self, command: str) -> None:
        """The centre does not know the command."""
        ...
