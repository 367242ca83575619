"""Judges what arrived: how many samples, each against the simulator's formula. Pure but for `collect`."""

from dataclasses import asdict, dataclass, field
from typing import Any, Final

from edge_agent.demo.centre import Account, CentreApi
from edge_agent.demo.plant import PLANT, DemoGroup, DemoTag

LEAST_SHARE: Final = 0.95
# From a register's change to the end of the read that saw it, with a group of several requests.
TOLERANCE_MS: Final = 1000


@dataclass(slots=True)
class Verdict:
    """expected: samples that a plant without any kill would have given in the span. wrong: the first few
    samples that equal no value of the formula near their time."""

    seconds: float
    expected: int = 0
    good: int = 0
    not_good: int = 0
    wrong_values: int = 0
    wrong: list[str] = field(default_factory=list)
    account: Account = field(default_factory=Account)

    @property
    def share(self) -> float:
        return self.good / self.expected if self.expected else 0.0

    @property
    def passed(self) -> bool:
        account = self.account
        nothing_bad = not (account.gaps or account.duplicates or account.lost or self.wrong_values)
        return self.share >= LEAST_SHARE and nothing_bad and account.pending == 0

    def judge(self, tag: DemoTag, group: DemoGroup, points: list[tuple[int, Any, str]]) -> None:
        self.expected += int(self.seconds * 1000 / group.interval_ms)
        for at, value, quality in points:
            if quality != "good":
                self.not_good += 1
            elif tag.matches(value, at, TOLERANCE_MS):
                self.good += 1
            else:
                self.wrong_values += 1
                if len(self.wrong) < 10:
                    self.wrong.append(f"{tag.name} = {value!r} at {at}")

    def as_json(self) -> dict[str, Any]:
        return {"passed": self.passed, "share": round(self.share, 4), **asdict(self)}

    def text(self) -> str:
        account = self.account
        lines = [
            f"{'PASSED' if self.passed else 'FAILED'}: {self.good:,} of {self.expected:,} expected samples "
            f"({self.share:.1%}) in {self.seconds:.1f} s, the agent and the centre killed once each",
            f"  values not equal to the formula {self.wrong_values}, bad quality {self.not_good}",
            f"  gaps {account.gaps}, duplicates {account.duplicates}, lost {account.lost}, "
            f"pending {account.pending}, sent twice and discarded {account.redelivered}",
        ]
        return "\n".join([*lines, *(f"  {text}" for text in self.wrong)])


async def collect(api: CentreApi, start_ms: int, end_ms: int) -> Verdict:
    """Asks the centre for every sample of the span and judges it."""
    verdict = Verdict((end_ms - start_ms) / 1000)
    for plc in PLANT:
        for group in plc.groups:
            for tag in group.tags:
                points = await api.points(plc.name, tag.name, start_ms, end_ms)
                verdict.judge(tag, group, list(points))
    verdict.account = await api.account()
    return verdict
