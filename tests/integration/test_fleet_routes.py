"""The table of the fleet system's routes is what the running service answers."""

from pathlib import Path

import pytest

from tests.integration.fleet_routes import page, walked

PAGE = Path(__file__).parents[2] / "docs" / "fleet-routes.md"


@pytest.mark.timeout(180)
async def test_every_route_answers_as_the_page_says(tmp_path: Path) -> None:
    written = page(await walked(tmp_path))
    assert PAGE.read_text(encoding="utf-8") == written, (
        "python -m tests.integration.fleet_routes > docs/fleet-routes.md"
    )
