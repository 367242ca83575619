"""docs/troubleshooting.md names each check and each file of a support bundle, and no others."""

import re
from pathlib import Path

from edge_agent.app.support import collectors
from edge_agent.contracts.check_names import CHECKS
from edge_agent.doctor.site import Site

PAGE = (Path(__file__).parents[3] / "docs" / "troubleshooting.md").read_text(encoding="utf-8")


def first_column(head: str) -> list[str]:
    """The code in the first column of the table with this head."""
    _, _, rest = PAGE.partition(f"| {head} |")
    table = rest.split("\n\n", 1)[0]
    return re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)


def test_each_check_has_its_row_in_the_order_in_which_they_are_made() -> None:
    assert first_column("check | looks at") == list(CHECKS)


def test_each_file_of_a_bundle_has_its_row() -> None:
    made = [each.name for each in collectors(Site(Path("edge-agent.yaml"), {}), {"NAME": ""})]
    assert first_column("file | holds") == made
