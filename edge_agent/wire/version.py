"""The protocol's version and its history.

1: batch format 1, upload, heartbeat and config envelope as in docs/specs/batch-v1.md.
"""

from typing import Final

PROTOCOL_VERSION: Final = 1
BATCH_FORMAT_VERSION: Final = 1
