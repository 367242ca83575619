"""The centre's scripts, judged where that costs this process neither time nor a library."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from edge_agent.app.compiled import Compiled
from edge_agent.config.child import call_in_child
from edge_agent.config.errors import ChildFailed
from edge_agent.config.last_good import LastGood
from edge_agent.contracts.errors import ConfigError
from edge_agent.runtime.atomic import write_atomic
from edge_agent.uplink.scripts import Judged, Rules, judge
from edge_agent.wire.scripts import HOOKS_CONNECTION, Script

NAME: Final = "central-scripts.json"
# Takes 2 ms, in which no other thread runs.
_SMALL_BYTES: Final = 256 << 10


def rules_of(running: Compiled) -> Rules:
    """What the local file says of the centre's scripts; of connections, what runs."""
    head = running.head
    return Rules(
        "hooks" in head.remote.manage,
        dict(head.hooks.require_signature),
        frozenset(local.script.name for local in running.hooks),
        frozenset(local.script.worker for local in running.hooks if local.script.worker),
        HOOKS_CONNECTION in running.outline.connections,
    )


def last_good_beside(database: Path) -> LastGood:
    return LastGood(database.with_name(NAME), write_atomic)


async def judge_in_child(body: bytes, rules: Rules, *, is_known: bool) -> Judged:
    """Implements uplink.scripts.Judge in a process of its own: a set may be megabytes, and the library that
    checks signatures is larger than most of the agent. What did no harm before and needs none of that is
    judged here: a process takes half a second, in which nothing is polled yet."""
    if is_known and not rules.keys and len(body) <= _SMALL_BYTES:
        return await asyncio.to_thread(judge_here, body, rules)
    try:
        return await call_in_child(judge_here, (body, rules), "centre scripts")
    except ChildFailed:
        # A boot does not depend on whether there is room for a process.
        if not is_known:
            raise
    return await asyncio.to_thread(judge_here, body, rules)


def judge_here(body: bytes, rules: Rules) -> Judged:
    return judge(body, rules, _verify)


def _verify(script: Script, keys: Mapping[str, str]) -> str:
    # An agent without scripts of the centre needs neither.
    from edge_agent.hooks.errors import ScriptRefused
    from edge_agent.hooks.signing import require

    try:
        require(script, keys)
    except (ScriptRefused, ConfigError) as error:
        return str(error)
    return ""
