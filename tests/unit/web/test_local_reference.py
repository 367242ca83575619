from pathlib import Path

import pytest

from edge_agent.web.families import FAMILIES
from edge_agent.web.reference import api_page, metrics_page
from edge_agent.web.routes import ROUTES

REFERENCE = Path(__file__).parents[3] / "docs" / "reference"


@pytest.mark.parametrize(("name", "text"), [("metrics.md", metrics_page()), ("local-api.md", api_page())])
def test_the_committed_page_is_the_generated_one(name: str, text: str) -> None:
    assert (REFERENCE / name).read_text() == text, "run `edge-agent docs`"


def test_every_metric_is_documented_with_its_labels() -> None:
    page = metrics_page()
    for family in FAMILIES:
        (line,) = [line for line in page.splitlines() if f"`holdfast_{family.name}`" in line]
        assert family.help in line
        assert all(f"`{label}`" in line for label in family.labels)


def test_every_route_is_documented() -> None:
    page = api_page()
    assert all(f"`{route.method} {route.path}`" in page for route in ROUTES)
