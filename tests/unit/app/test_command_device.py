"""Whether something starts the agent again is not taken from variables that a shell inherited."""

import pytest

from edge_agent.app.device import is_service


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, False),
        ({"INVOCATION_ID": "a", "SYSTEMD_EXEC_PID": "7"}, True),
        ({"INVOCATION_ID": "a", "NOTIFY_SOCKET": "/s", "SYSTEMD_EXEC_PID": "6"}, False),
        ({"INVOCATION_ID": "a"}, True),
        ({"NOTIFY_SOCKET": "/run/notify"}, True),
    ],
)
def test_an_agent_in_a_services_shell_is_no_service(environ: dict[str, str], expected: bool) -> None:
    assert is_service(environ, 7) is expected
