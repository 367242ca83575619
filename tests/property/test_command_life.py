"""The life of a command against what a device truly did, whatever happens to its reports on the way."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from central_sync.services.commands import life as rules
from central_sync.services.commands.life import NOT_KNOWN, Life, Times, Waiting
from edge_agent.wire.commands import FINAL, CommandState

S = CommandState
RIGHT = {S.QUEUED: 0, S.DELIVERED: 1, S.ACCEPTED: 2, S.RUNNING: 3} | dict.fromkeys(FINAL, 4)
FINALS = st.sampled_from(sorted(FINAL))


@st.composite
def histories(draw: st.DrawFn) -> list[CommandState]:
    """What a device reports of one command, in order: it may skip steps, repeat `running`, and it ends."""
    steps = [S.DELIVERED, S.ACCEPTED, *([S.RUNNING] * draw(st.integers(0, 3)))]
    kept = [step for step in steps if draw(st.booleans())]
    return [*kept, draw(FINALS)]


@given(data=st.data(), history=histories())
def test_the_centre_ends_where_the_device_ended_whatever_order_its_reports_come_in(
    data: st.DataObject, history: list[CommandState]
) -> None:
    life = rules.offered(Life())
    numbered = list(enumerate(history, 1))
    arriving = data.draw(st.lists(st.sampled_from(numbered), max_size=8))
    # The last one is repeated until it is answered; what the centre does by itself falls anywhere.
    for no, state in [*arriving, numbered[-1], *data.draw(st.lists(st.sampled_from(numbered), max_size=4))]:
        for act in data.draw(st.lists(st.sampled_from([rules.cancelled, rules.overdue]), max_size=3)):
            life = act(life) or life
        life = rules.reported(life, state, no) or life
    assert life.state is history[-1]
    assert life.has_ended
    assert life.waiting is Waiting.NOTHING


@given(acts=st.lists(st.sampled_from([rules.cancelled, rules.overdue]), min_size=1))
def test_what_was_never_offered_is_decided_by_the_centre_at_once_and_for_good(acts: list[object]) -> None:
    life = Life()
    for act in acts:
        life = act(life) or life  # type: ignore[operator]
    assert life.state is (S.CANCELLED if acts[0] is rules.cancelled else S.EXPIRED)
    assert life.has_ended


class Lives(RuleBasedStateMachine):
    """Any calls in any order, those of a liar among the devices included."""

    def __init__(self) -> None:
        super().__init__()
        self.life = Life()
        self.before = Life()

    def move(self, life: Life | None) -> None:
        self.before, self.life = self.life, life or self.life

    @rule()
    @precondition(lambda self: self.life.waiting is Waiting.OFFER)
    def offer(self) -> None:
        self.move(rules.offered(self.life))

    @rule(state=st.sampled_from(list(S)), no=st.integers(1, 6), code=st.sampled_from(["", NOT_KNOWN]))
    def report(self, state: CommandState, no: int, code: str) -> None:
        self.move(rules.reported(self.life, state, no, code))

    @rule()
    def cancel(self) -> None:
        self.move(rules.cancelled(self.life))

    @rule()
    def time_passes(self) -> None:
        self.move(rules.overdue(self.life))

    @invariant()
    def what_has_ended_stays(self) -> None:
        if self.before.has_ended:
            assert self.life == self.before

    @invariant()
    def moves_go_to_the_right_unless_a_guess_gives_way(self) -> None:
        if not self.before.is_guess:
            assert RIGHT[self.life.state] >= RIGHT[self.before.state]
        if self.before.heard is not None and self.life.heard is not None:
            assert RIGHT[self.life.heard] >= RIGHT[self.before.heard]
        assert self.life.no >= self.before.no

    @invariant()
    def only_the_device_says_how_an_offered_command_ended(self) -> None:
        if self.life.offered and self.life.has_ended:
            assert self.life.heard is self.life.state

    @invariant()
    def each_is_told_or_watched_until_it_ends(self) -> None:
        due = rules.due(self.life, Times(1_000, 1_000, None, 500 if self.life.cancel else None))
        assert (due is None) == (self.life.state in FINAL)
        assert self.life.waiting is Waiting.NOTHING or not self.life.has_ended


TestLives = Lives.TestCase


def test_a_report_to_the_left_is_discarded_even_with_a_higher_number() -> None:
    life = Life(S.RUNNING, S.RUNNING, 3, offered=True)
    assert rules.reported(life, S.DELIVERED, 4) is None


def test_a_guess_gives_way_to_what_follows_and_not_to_what_came_before() -> None:
    guess = rules.overdue(Life(S.RUNNING, S.RUNNING, 3, offered=True, late=True))
    assert guess is not None
    assert guess.is_guess
    assert rules.reported(guess, S.ACCEPTED, 4) is None
    back = rules.reported(guess, S.RUNNING, 4)
    assert back is not None
    assert back.state is S.RUNNING
    ended = rules.reported(back, S.SUCCEEDED, 5)
    assert ended is not None
    assert ended.has_ended


def test_unknown_of_the_device_is_no_guess() -> None:
    ended = rules.reported(Life(S.RUNNING, S.RUNNING, 3, offered=True), S.UNKNOWN, 4)
    assert ended is not None
    assert ended.has_ended


def test_a_cancel_that_the_journal_does_not_know_is_cancelled_or_unknown() -> None:
    asked = replace(rules.offered(Life()), cancel=True)
    never = rules.reported(asked, S.CANCELLED, 1, NOT_KNOWN)
    assert never is not None
    assert never.state is S.CANCELLED
    held = replace(asked, state=S.RUNNING, heard=S.RUNNING, no=7)
    lost = rules.reported(held, S.CANCELLED, 1, NOT_KNOWN)
    assert lost is not None
    assert (lost.state, lost.has_ended) == (S.UNKNOWN, True)
