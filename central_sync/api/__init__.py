"""The HTTP API. A handler decodes, calls one service and encodes; routes stand in one table."""
