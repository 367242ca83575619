"""schemathesis makes requests of the whole OpenAPI document against a running centre, as each kind of caller.

No server error, and no answer that the document does not name: status, content type, headers, schema. The
live stream of events never ends and has tests of its own. HOLDFAST_API_EXAMPLES: how many requests are drawn
for each route; with more than the few of CI every route also gets all the border cases that schemathesis
knows (`make fuzz-api`).
"""

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from central_sync.api.server import ROUTES
from tests.crash.rig import DEVICE
from tests.integration.fleet_house import CONNECTION, TAG, FleetHouse, fleet_house, run

EXAMPLES = int(os.environ.get("HOLDFAST_API_EXAMPLES", "3"))
FEW = 3
PHASES = "examples,fuzzing" if EXAMPLES <= FEW else "examples,coverage,fuzzing"
ENDLESS = ("/api/fleet/events",)
# Where the document itself is read from: schemathesis leaves that route out.
DOCUMENT = "/api/openapi.json"
# What must hold of every answer. Two checks are left out: a document that fits its schema may still
# contradict what is stored, and `Allow` names what both of two overlapping routes take, a fixed one and one
# with a parameter in that place.
CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance",
    "response_headers_conformance", "response_schema_conformance", "missing_required_header",
    "unsupported_method",
)  # fmt: skip
# Names that exist, so that requests get behind «there is no such thing»; long polls do not wait.
SETTINGS = f"""
hooks = "tests.integration.schemathesis_hooks"
[parameters]
"path.id" = "{DEVICE}"
"path.tag" = "{TAG}"
"path.connection" = "{CONNECTION}"
"path.version" = "1"
"query.wait" = 0
"""
CENTRE = """
rate_limits: {devices: 1000000, people: 1000000, addresses: 1000000}
enrolment: {pending: true}
"""


@dataclass(frozen=True)
class Caller:
    """Whose token is sent, and the tag of the only routes that are asked."""

    name: str
    tag: str | None = None

    def routes(self) -> int:
        return sum(
            route.path not in (*ENDLESS, DOCUMENT) and (self.tag is None or route.tag == self.tag)
            for route in ROUTES
        )


CALLERS = (
    Caller("nobody"),
    Caller("admin"),
    Caller("device", "agents"),
)


@pytest.mark.timeout(3_600)
async def test_no_server_error_and_no_undocumented_answer(tmp_path: Path) -> None:
    async with fleet_house(tmp_path, CENTRE) as house:
        script = f'"path.script" = "{await _script(house)}"\n'
        (tmp_path / "schemathesis.toml").write_text(SETTINGS + script)
        found = {caller.name: await _judge(house, caller) for caller in CALLERS}
        wrong = {name: said for name, said in found.items() if said}
        assert not wrong, "\n".join(f"as {name}:\n{said}" for name, said in wrong.items())


async def _script(house: FleetHouse) -> str:
    """The id of a new one that the device has."""
    headers = {"Authorization": f"Bearer {house.tokens['admin']}"}
    body = {"name": "oil", "hook_type": "transform", "source": "def transform(frame):\n    pass\n"}
    async with aiohttp.ClientSession(house.url, headers=headers) as session:
        async with session.post("/api/fleet/scripts", json=body) as made:
            script = str((await made.json())["id"])
        path = f"/api/fleet/scripts/{script}/assignment"
        async with session.put(path, json={"devices": [DEVICE]}) as assigned:
            assert assigned.status == 200, await assigned.text()
    return script


async def _judge(house: FleetHouse, caller: Caller) -> str:
    """What schemathesis found; empty: nothing, and it has tried every route."""
    token = house.tokens.get(caller.name)
    code, said = await run(
        sys.executable, "-m", "schemathesis.cli", "run", f"{house.url}{DOCUMENT}",
        *(("--header", f"Authorization: Bearer {token}") if token else ()),
        *(part for path in ENDLESS for part in ("--exclude-path", path)),
        *(("--include-tag", caller.tag) if caller.tag else ()),
        "--checks", ",".join(CHECKS), "--phases", PHASES, "--max-examples", str(EXAMPLES),
        "--seed", "1", "--no-color", "--continue-on-failure", "--suppress-health-check", "all",
        "--warnings", "off", "--generation-database", "none",
        cwd=house.directory, seconds=900,
    )  # fmt: skip
    tested = re.search(r"Tested: (\d+)", said)
    is_whole = tested is not None and int(tested[1]) == caller.routes()
    return "" if code == 0 and is_whole else _short(said)


def _short(said: str) -> str:
    return "\n".join(line[:300] for line in said.splitlines()[-400:])
