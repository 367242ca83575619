"""Adds the section `central` to a config that has none, and leaves every other byte of it alone. Pure."""

from typing import Any

import yaml


def section(url: str, ca_file: str | None) -> str:
    """The section's text."""
    lines = ["central:", f"  url: {_scalar(url)}"]
    if ca_file is not None:
        lines.append(f"  ca_file: {_scalar(ca_file)}")
    return "\n".join(lines) + "\n"


def with_section(text: str, url: str, ca_file: str | None) -> str | None:
    """The document with the section behind the rest; None where it cannot simply be added."""
    keys = _keys(text)
    if keys is None or "central" in keys:
        return None
    ending = "\r\n" if "\r\n" in text else "\n"
    note = "\n# Written by `edge-agent enroll`; the credential itself is in credentials.json.\n"
    added = (note + section(url, ca_file)).replace("\n", ending)
    result = text + ("" if text.endswith("\n") or not text else ending) + added
    return result if _keys(result) == [*keys, "central"] else None


def _keys(text: str) -> list[Any] | None:
    """The names of the sections; None where the text is no mapping of them."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        return None
    if node is None:
        return []
    if not isinstance(node, yaml.MappingNode):
        return None
    return [key.value for key, _ in node.value]


def _scalar(text: str) -> str:
    plain = yaml.safe_dump(text, default_flow_style=True, width=10_000).strip()
    return plain.removesuffix("...").strip()
