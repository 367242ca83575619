"""How long to wait before trying again: pure, for supervisors, pollers and the uplink alike."""

from random import Random


class Backoff:
    """Delays that grow from `initial` to `maximum` seconds by `factor`.

    jitter: the share (0 to 1) by which a delay is shortened at random, so that a fleet that lost its
    centre in one moment does not come back in one moment. A delay lies in (full × (1 − jitter), full].
    """

    def __init__(
        self,
        initial: float,
        maximum: float,
        factor: float = 2.0,
        jitter: float = 0.2,
        *,
        random: Random | None = None,
    ) -> None:
        if not 0 < initial <= maximum or factor < 1 or not 0 <= jitter < 1:
            raise ValueError("needs 0 < initial <= maximum, factor >= 1 and 0 <= jitter < 1")
        self._initial = initial
        self._maximum = maximum
        self._factor = factor
        self._jitter = jitter
        self._random = Random() if random is None else random
        self._full = initial

    def next(self) -> float:
        """Seconds to wait now; the next call answers a longer time, up to the maximum."""
        full = self._full
        self._full = min(self._maximum, full * self._factor)
        return full * (1 - self._jitter * self._random.random())

    def reset(self) -> None:
        """After a success: begins with `initial` again."""
        self._full = self._initial
