"""Agents through an MQTT broker: the same requests as over HTTP, answered by the same services
(docs/specs/mqtt-v1.md)."""
