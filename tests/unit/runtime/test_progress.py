from edge_agent.runtime.progress import Progress, Pulse, Stall

TURN = 10.0


class Judge:
    """Judges every `TURN` seconds, as the feeder does."""

    def __init__(self) -> None:
        self.progress = Progress(TURN)
        self.now = 1_000.0

    def watch(self, name: str, limit: float = 30.0, together: str = "") -> Pulse:
        pulse = Pulse()
        self.progress.watch(name, pulse, limit, together=together)
        return pulse

    def after(self, seconds: float, *beating: Pulse) -> list[str]:
        """Who has stalled in the end. Those `beating` turn all the while."""
        found: list[Stall] = []
        for _ in range(int(seconds // TURN)):
            for pulse in beating:
                pulse.beat()
            self.now += TURN
            found = self.progress.stalled(self.now)
        return [stall.name for stall in found]


def test_a_part_that_beats_never_stalls() -> None:
    judge = Judge()
    writer = judge.watch("writer")
    assert judge.after(3600, writer) == []


def test_a_part_that_is_quiet_for_longer_than_its_limit_has_stalled() -> None:
    judge = Judge()
    writer, uploader = judge.watch("writer"), judge.watch("uploader", 60)
    judge.after(10, writer, uploader)
    assert judge.after(30) == []
    assert judge.after(10) == ["writer"]
    assert judge.after(30) == ["writer", "uploader"]
    assert judge.after(10, writer) == ["uploader"], "one that turns again is well at once"


def test_a_turn_may_take_what_its_part_said() -> None:
    judge = Judge()
    poller = judge.watch("poller")
    poller.beat(3600)
    assert judge.after(3600) == []
    assert judge.after(50) == ["poller"]


def test_a_part_that_rests_is_not_judged() -> None:
    judge = Judge()
    poller = judge.watch("poller")
    poller.rest()
    assert judge.after(86_400) == []
    poller.beat()
    assert judge.after(60) == ["poller"]


def test_one_of_many_connections_may_hang_and_all_may_not() -> None:
    judge = Judge()
    first, second = (judge.watch(name, together="poller") for name in ("first", "second"))
    judge.after(10, first, second)
    assert judge.after(600, first) == []
    assert judge.after(50) == ["first", "second"]


def test_no_connection_at_all_is_no_stall() -> None:
    judge = Judge()
    pulse = judge.watch("first", together="poller")
    judge.after(100)
    judge.progress.forget("first", pulse)
    assert judge.after(100) == []


def test_a_replaced_part_is_not_forgotten_with_the_older_one() -> None:
    judge = Judge()
    old, new = judge.watch("first"), judge.watch("first")
    judge.progress.forget("first", old)
    judge.after(10, new)
    assert judge.after(50) == ["first"]


def test_a_machine_that_slept_has_not_stalled() -> None:
    """Nor has a process that was stopped and goes on: nobody judged meanwhile."""
    judge = Judge()
    writer = judge.watch("writer")
    judge.after(10, writer)
    judge.now += 600
    assert judge.after(20) == []
    assert judge.after(60, writer) == []


def test_stops_in_a_row_do_not_hide_a_stall() -> None:
    judge = Judge()
    judge.watch("writer")
    found: list[str] = []
    for _ in range(4):
        judge.now += 600
        found = judge.after(10)
    assert found == ["writer"]
