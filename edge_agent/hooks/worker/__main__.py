"""The worker process: `python -I -m edge_agent.hooks.worker AGENT_PID LAYER …`, its descriptor 0 a socket.

All imports come first; then it gives up what computing does not need, and only then reads a script.
"""

import gc
import sys

# OpenSSL takes 4 MB, and a schema's name can be had without it: hashlib then uses its own.
sys.modules.setdefault("_hashlib", None)  # type: ignore[arg-type]

from edge_agent.hooks.worker.loop import serve  # noqa: E402  after the line above
from edge_agent.hooks.worker.sandbox import confine  # noqa: E402

_CHANNEL = 0


def main() -> None:
    parent, *layers = sys.argv[1:]
    confined = confine(int(parent), layers)
    # What is here now stays: the collector need not look at it again.
    gc.collect()
    gc.freeze()
    serve(_CHANNEL, confined)


if __name__ == "__main__":
    main()
