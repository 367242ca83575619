"""The files that are generated from the settings models; a test fails where the committed ones differ."""

import json
from collections.abc import Sequence
from typing import Final

from edge_agent.config.page import page
from edge_agent.config.sample import sample
from edge_agent.config.schema import Schema, document_schema, editor_schema
from edge_agent.config.validate import SettingsLookup

SAMPLE_PATH: Final = "config/edge-agent.yaml"
PAGE_PATH: Final = "docs/reference/config.md"
SCHEMA_PATH: Final = "docs/reference/edge-agent.schema.json"


def generate(lookup: SettingsLookup, driver_names: Sequence[str]) -> dict[str, str]:
    """The generated texts by their paths in the checkout.

    Raises ConfigError as `lookup` does, ValueError where a required setting has no example.
    """
    schema = document_schema(lookup, driver_names)
    return {
        SAMPLE_PATH: sample(schema),
        PAGE_PATH: page(schema),
        SCHEMA_PATH: json.dumps(editor_schema(schema), indent=2, ensure_ascii=False) + "\n",
    }


def editor_schema_of(lookup: SettingsLookup, driver_names: Sequence[str]) -> Schema:
    """What stands at SCHEMA_PATH. Raises as `generate` does."""
    return editor_schema(document_schema(lookup, driver_names))
