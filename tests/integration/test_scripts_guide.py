"""The commands of docs/scripts.md, as they stand there: a script signed, tried, assigned, and taken back."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.crash.rig import free_port

GUIDE = Path(__file__).parents[2] / "docs" / "scripts.md"


def _script() -> str:
    """The page's blocks with ports that are free here."""
    text = GUIDE.read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 7
    script = "\n".join(f"echo '### block {number}'\n{block}" for number, block in enumerate(blocks))
    return script.replace("8080", str(free_port())).replace("15502", str(free_port()))


@pytest.mark.timeout(180)
def test_the_guides_own_commands_bring_a_script_to_a_device_and_back(tmp_path: Path) -> None:
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
            code = process.wait(150)
        finally:
            os.killpg(process.pid, signal.SIGTERM)
    said = (tmp_path / "said").read_text(encoding="utf-8")
    assert code == 0, said[-5_000:] + (tmp_path / "agent.log").read_text(encoding="utf-8")[-3_000:]
    parts = re.split(r"### block \d\n", said)[1:]
    assert '"made":["temperature_f"]' in parts[3]
    assert '"matched":1,"added":["press-shop-01"]' in parts[4]
    assert '"in_sync":true,"reported":{"name":"fahrenheit"' in parts[4]
    assert '"text":"--- version 1\\n+++ version 2\\n' in parts[5]
    assert '"version":3,' in parts[5]
    assert '"note":"not yet"' in parts[5]
    for action in ("create", "assign", "put", "rollback"):
        assert f'"action":"script.{action}"' in parts[6]
