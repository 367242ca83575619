"""What examining a machine comes to: findings of named checks, each with what to do about it. Pure.

The doctor's room makes them, the command line prints them, a support bundle holds them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final


class Verdict(StrEnum):
    """FAILED: something does not work. WARNING: it works, and is unwise or will not last."""

    OK = "ok"
    SKIPPED = "skipped"
    WARNING = "warning"
    FAILED = "failed"


_RANK: Final = tuple(Verdict)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was seen. text: what is so. remedy: what to do; empty where there is nothing to mend.

    elsewhere: nothing on this machine is to mend as far as can be told: the centre, a PLC or a name server
    does not answer.
    """

    verdict: Verdict
    text: str
    remedy: str = ""
    elsewhere: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one check found about one subject: empty, `centre`, or `connection NAME`."""

    check: str
    findings: tuple[Finding, ...]
    subject: str = ""
    seconds: float = 0.0

    @property
    def verdict(self) -> Verdict:
        """That of the worst finding."""
        return worst(finding.verdict for finding in self.findings)

    @property
    def text(self) -> str:
        """All that was found, the worst first."""
        return "; ".join(finding.text for finding in self._ordered)

    @property
    def remedies(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(finding.remedy for finding in self._ordered if finding.remedy))

    @property
    def _ordered(self) -> list[Finding]:
        return sorted(self.findings, key=lambda finding: -_RANK.index(finding.verdict))

    def record(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "check": self.check,
            "subject": self.subject,
            "verdict": str(self.verdict),
            "text": self.text,
            "remedies": list(self.remedies),
            "seconds": round(self.seconds, 3),
            "findings": [
                {
                    "verdict": str(finding.verdict),
                    "text": finding.text,
                    "remedy": finding.remedy,
                    "elsewhere": finding.elsewhere,
                }
                for finding in self.findings
            ],
        }


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    return max(verdicts, key=_RANK.index, default=Verdict.OK)


def ok(text: str) -> Finding:
    return Finding(Verdict.OK, text)


def warning(text: str, remedy: str) -> Finding:
    return Finding(Verdict.WARNING, text, remedy)


def failed(text: str, remedy: str) -> Finding:
    return Finding(Verdict.FAILED, text, remedy)


def unreachable(text: str, remedy: str) -> Finding:
    """It failed, and what is to mend is not on this machine as far as can be told."""
    return Finding(Verdict.FAILED, text, remedy, elsewhere=True)


def skipped(text: str) -> Finding:
    return Finding(Verdict.SKIPPED, text)
