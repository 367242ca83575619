"""schemathesis makes requests of the whole OpenAPI document against a running centre, for each kind of caller.

No server error, and no answer that the document does not name: status, content type, headers, schema. The
live stream of events never ends and has tests of its own. HOLDFAST_API_EXAMPLES: how many requests are drawn
for each route (`make fuzz-api` takes many).
"""

import os
import re
import sys
from pathlib import Path

import pytest

from central_sync.api.server import ROUTES
from tests.crash.rig import DEVICE
from tests.integration.fleet_house import CONNECTION, TAG, fleet_house, run

EXAMPLES = int(os.environ.get("HOLDFAST_API_EXAMPLES", "5"))
ENDLESS = ("/api/fleet/events",)
# What must hold of every answer. `positive_data_acceptance` is left out: a document that fits its schema may
# still contradict what is stored.
CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance",
    "response_headers_conformance", "response_schema_conformance", "missing_required_header",
    "unsupported_method", "allow_header_conformance",
)  # fmt: skip
# Names that exist, so that requests get behind «there is no such thing»; long polls do not wait.
SETTINGS = f"""
hooks = "tests.integration.schemathesis_hooks"
[parameters]
"path.id" = "{DEVICE}"
"path.tag" = "{TAG}"
"path.connection" = "{CONNECTION}"
"query.wait" = 0
"""
LIMITS = ""


@pytest.mark.slow_limit(600)
async def test_no_server_error_and_no_undocumented_answer(tmp_path: Path) -> None:
    async with fleet_house(tmp_path, LIMITS) as house:
        (tmp_path / "schemathesis.toml").write_text(SETTINGS)
        for who in ("nobody", "admin", "viewer", "device"):
            header = [] if who == "nobody" else ["--header", f"Authorization: Bearer {house.tokens[who]}"]
            code, said = await run(
                sys.executable, "-m", "schemathesis.cli", "run", f"{house.url}/api/openapi.json",
                *header, *(part for path in ENDLESS for part in ("--exclude-path", path)),
                "--checks", ",".join(CHECKS), "--phases", "examples,coverage,fuzzing",
                "--max-examples", str(EXAMPLES), "--seed", "1", "--no-color", "--continue-on-failure",
                "--suppress-health-check", "all", "--warnings", "off", "--generation-database", "none",
                cwd=tmp_path, seconds=400,
            )  # fmt: skip
            assert code == 0, f"{who}:\n{_short(said)}"
            tested = re.search(r"Tested: (\d+)", said)
            assert tested is not None, said
            assert int(tested[1]) == len(ROUTES) - len(ENDLESS), said


def _short(said: str) -> str:
    return "\n".join(line[:300] for line in said.splitlines()[-400:])
