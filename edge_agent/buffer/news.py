"""That there is something new to send, or something that was delivered is wanted again."""

import asyncio


class News:
    """A count that whoever sends waits for. Belongs to one event loop."""

    def __init__(self) -> None:
        self._changed = asyncio.Condition()
        self._count = 0

    async def wait(self, seen: int) -> int:
        """Returns the count as soon as it is not `seen`."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._count != seen)
        return self._count

    async def tell(self) -> None:
        async with self._changed:
            self._count += 1
            self._changed.notify_all()
