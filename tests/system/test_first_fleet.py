"""A newcomer comes to a fleet by the commands of docs/first-fleet.md, as they stand there, in ten minutes."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.crash.rig import free_port

GUIDE = Path(__file__).parents[2] / "docs" / "first-fleet.md"
MINUTES = 10


def _script() -> str:
    """The page's blocks with ports that are free here."""
    text = GUIDE.read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 9
    script = "\n".join(f"echo '### block {number}'\n{block}" for number, block in enumerate(blocks))
    return script.replace("8080", str(free_port())).replace("15502", str(free_port()))


@pytest.mark.timeout(300)
def test_the_guides_own_commands_lead_to_a_fleet_in_under_ten_minutes(tmp_path: Path) -> None:
    begun = time.monotonic()
    with (tmp_path / "said").open("wb") as output:
        process = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", _script()],
            cwd=tmp_path,
            env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = process.wait(240)
        finally:
            os.killpg(process.pid, signal.SIGTERM)
    said = (tmp_path / "said").read_text(encoding="utf-8")
    assert code == 0, said[-3000:]
    seconds = time.monotonic() - begun
    parts = re.split(r"### block \d\n", said)[1:]
    assert '"tag":"temperature"' in parts[5]
    assert '"state":"applied"' in parts[6]
    assert "ok: centre" in parts[7]
    assert '"action":"config.put"' in parts[8]
    assert "entries are sound" in parts[8]
    assert seconds < MINUTES * 60
    print(f"{seconds:.0f} s from nothing to a fleet")
