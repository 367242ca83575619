"""Faults on demand: which are in force, and how often each still strikes."""

from typing import Any, Generic, Protocol, TypeVar

Kind = TypeVar("Kind")
Asked = TypeVar("Asked")
_Kind_co = TypeVar("_Kind_co", covariant=True)
_Asked_contra = TypeVar("_Asked_contra", contravariant=True)


class Fault(Protocol[_Kind_co, _Asked_contra]):
    """times: requests that it hits before it ends; None: it stays."""

    @property
    def kind(self) -> _Kind_co: ...
    @property
    def times(self) -> int | None: ...
    def concerns(self, asked: _Asked_contra) -> bool: ...


OneFault = TypeVar("OneFault", bound=Fault[Any, Any])


class Faults(Generic[Kind, Asked, OneFault]):
    """The faults in force. May be changed at any time while the simulator runs."""

    def __init__(self) -> None:
        self.active: dict[int, OneFault] = {}
        self._left: dict[int, int] = {}
        self._next = 1

    def __bool__(self) -> bool:
        return bool(self.active)

    def add(self, fault: OneFault) -> int:
        """Puts a fault in force. Returns its number, for `remove`."""
        number, self._next = self._next, self._next + 1
        self.active[number] = fault
        if fault.times is not None:
            self._left[number] = fault.times
        return number

    def remove(self, number: int) -> None:
        self.active.pop(number, None)
        self._left.pop(number, None)

    def clear(self) -> None:
        self.active.clear()
        self._left.clear()

    def hit(self, asked: Asked) -> dict[Kind, OneFault]:
        """The faults that this request meets, counted off. The newest of a kind wins."""
        met: dict[Kind, OneFault] = {}
        for number, fault in list(self.active.items()):
            if not fault.concerns(asked):
                continue
            met[fault.kind] = fault
            if number in self._left:
                self._left[number] -= 1
                if self._left[number] <= 0:
                    self.remove(number)
        return met
