"""A worker whose whole interpreter is the attacker's reaches nothing; and what each layer of the sandbox
holds where it is alone is what the page says."""

import pytest

from edge_agent.hooks.layers import LAYERS, ON
from edge_agent.hooks.worker import landlock
from tests.crash.attacks import layers

# Some 600 attempts and a hundred workers, all before the first test; a busy machine takes twice as long.
pytestmark = [pytest.mark.slow_limit(120), pytest.mark.timeout(120)]

LEAST_PAYLOADS = 90


def test_all_layers_are_on_and_nothing_is_reached() -> None:
    seen = layers.measured()["all"]
    assert seen["layers"] == dict.fromkeys(LAYERS, ON)
    assert len(seen["reached"]) == len(layers.payloads()) >= LEAST_PAYLOADS
    assert layers.through("all") == set()
    assert seen["touched"] == []


def test_without_layers_most_of_it_is_reached_so_that_it_is_known_to_work() -> None:
    assert len(layers.through("none")) >= 0.6 * len(layers.payloads())
    assert {"tcp", "unix", "udp"} <= set(layers.measured()["none"]["touched"])


@pytest.mark.parametrize("column", layers.COLUMNS)
def test_a_layer_alone_lets_through_what_the_page_says(column: str) -> None:
    said, seen = layers.documented()[column], layers.through(column)
    if "landlock" in layers.COLUMNS[column]:
        seen -= {name for name, since in layers.SINCE_ABI.items() if since > landlock.abi()} - said
    refused_to_everybody = set(layers.payloads()) - layers.through("none")
    assert seen - said == set()
    assert said - seen <= refused_to_everybody


def test_an_agent_without_any_layer_is_still_not_given_away_by_how_a_worker_is_begun() -> None:
    assert not {"inherited_descriptors", "environment", "write_to_streams"} & layers.through("none")
