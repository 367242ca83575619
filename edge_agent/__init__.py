"""Holdfast's edge agent: polls PLCs, keeps every sample until the centre has it. See docs/architecture.md."""

__version__ = "0.1.0"
