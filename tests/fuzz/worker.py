"""The process that tries inputs of one target: `python -m tests.fuzz.worker NAME SECONDS SEED DIR ENGINE`.

`run` starts it, reads its record and starts another one should it die. Findings become files in DIR, one
for each place in the code. Nothing of the agent is imported before the target, so that atheris can
instrument it. What atheris found worth trying stays in DIR, for the next time.
"""

import random
import resource
import sys
import time
from pathlib import Path
from typing import Final

from tests.fuzz.mutate import LONGEST_BYTES, mutations
from tests.fuzz.record import Record
from tests.fuzz.targets import Target, load
from tests.fuzz.trial import LIMIT_SECONDS, Finding, attempt

_MEMORY_BYTES: Final = 2 << 30


def keep(directory: Path, name: str, finding: Finding) -> bool:
    """Writes a finding down. False where one of the same place is there already."""
    path = directory / f"{name}-{finding.name}.bin"
    if path.exists():
        return False
    path.write_bytes(finding.data)
    path.with_suffix(".txt").write_text(finding.text)
    return True


class _Tries:
    """Every input goes through here, whoever made it."""

    def __init__(self, target: Target, directory: Path) -> None:
        self._target = target
        self._directory = directory
        self._record = Record(directory / f"{target.name}.record")

    def __call__(self, data: bytes) -> None:
        self._record.begin(data)
        finding = attempt(self._target.function, data, LIMIT_SECONDS)
        if finding is not None and keep(self._directory, self._target.name, finding):
            print(f"{self._target.name}: {finding.kind}\n{finding.text}", file=sys.stderr, flush=True)


def _by_mutation(name: str, seconds: float, seed: int, directory: Path) -> None:
    target = load(name)
    tries = _Tries(target, directory)
    end = time.monotonic() + seconds
    for data in mutations(target.seeds, random.Random(seed)):
        tries(data)
        if time.monotonic() >= end:
            return


def _by_coverage(name: str, seconds: float, seed: int, directory: Path) -> None:
    """libFuzzer ends the process. Its own time limit counts a busy machine's time, so it is a day."""
    import atheris

    with atheris.instrument_imports(include=["edge_agent", "tests.fuzz.targets"]):
        target = load(name)
    corpus = directory / f"{name}.corpus"
    corpus.mkdir(exist_ok=True)
    for number, data in enumerate(target.seeds):
        (corpus / f"seed-{number}").write_bytes(data)
    options = [
        f"-max_total_time={max(1, int(seconds))}", f"-seed={seed}", f"-max_len={LONGEST_BYTES}",
        f"-artifact_prefix={directory}/libfuzzer-", "-timeout=86400", "-rss_limit_mb=0", "-verbosity=0",
        "-print_final_stats=0",
    ]  # fmt: skip
    atheris.Setup([sys.argv[0], *options, str(corpus)], _Tries(target, directory))
    atheris.Fuzz()


def main() -> None:
    name, seconds, seed, directory, engine = sys.argv[1:]
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    by = _by_coverage if engine == "atheris" else _by_mutation
    by(name, float(seconds), int(seed), Path(directory))


if __name__ == "__main__":
    main()
