"""What came and is not in hand yet: bounded, and fair between devices. Pure.

Devices take turns, one message each, whatever one of them sends; of each a few are in hand at a time.
"""

from collections import Counter, OrderedDict, deque
from typing import Final, Generic, TypeVar

# An agent that behaves has fewer requests under way than this.
PER_DEVICE: Final = 16
IN_HAND: Final = 4
PER_DEVICE_BYTES: Final = 8 << 20
MAX_BYTES: Final = 64 << 20
T = TypeVar("T")


class Intake(Generic[T]):
    def __init__(
        self, per_device: int = PER_DEVICE, in_hand: int = IN_HAND, max_bytes: int = MAX_BYTES
    ) -> None:
        self._per_device = per_device
        self._most_in_hand = in_hand
        self._max_bytes = max_bytes
        self._waiting: OrderedDict[str, deque[tuple[T, int]]] = OrderedDict()
        self._stopped: dict[str, deque[tuple[T, int]]] = {}  # those with enough in hand
        self._in_hand: Counter[str] = Counter()
        self._bytes = 0
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def put(self, device: str, item: T, size: int) -> str:
        """Empty, or why it is not taken."""
        queue = self._waiting.get(device) or self._stopped.get(device)
        if queue is not None and (
            len(queue) >= self._per_device or size + sum(held for _, held in queue) > PER_DEVICE_BYTES
        ):
            return "flood"
        if self._bytes + size > self._max_bytes:
            return "full"
        if queue is None:
            place = self._stopped if self._is_busy(device) else self._waiting
            queue = place[device] = deque()
        queue.append((item, size))
        self._bytes += size
        self._length += 1
        return ""

    def take(self) -> tuple[str, T] | None:
        """The next one and whose it is, in hand until `done`. None: there is none for now."""
        if not self._waiting:
            return None
        device, queue = self._waiting.popitem(last=False)
        item, size = queue.popleft()
        self._bytes -= size
        self._length -= 1
        self._in_hand[device] += 1
        if queue:
            place = self._stopped if self._is_busy(device) else self._waiting
            place[device] = queue
        return device, item

    def done(self, device: str) -> None:
        self._in_hand[device] -= 1
        if not self._in_hand[device]:
            del self._in_hand[device]
        queue = self._stopped.pop(device, None)
        if queue is not None:
            self._waiting[device] = queue

    def _is_busy(self, device: str) -> bool:
        return self._in_hand[device] >= self._most_in_hand
