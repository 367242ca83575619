"""What is not needed for the first sample is not imported before it."""

import subprocess
import sys


def test_the_first_sample_waits_for_no_command_no_http_and_no_support() -> None:
    code = (
        "import sys, edge_agent.app.agent, edge_agent.app.compiled; "
        "late = ('aiohttp', 'edge_agent.commands', 'edge_agent.wire.command', 'edge_agent.uplink.c', "
        "'edge_agent.support'); "
        "print([name for name in sys.modules if name.startswith(late)])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
