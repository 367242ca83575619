"""Judging documents before they are saved: the agent's own rules, asked through a `Judge`.

The same content is judged once, however many devices are to have it, and requests for the same content at
the same time share one question. Where nobody can judge nothing is valid: that is Busy, never yes.
"""

import asyncio
import base64
import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final, Protocol

import orjson

from central_sync.services.configs.views import ConfigChecked, ConfigProblem
from central_sync.services.errors import Invalid

MAX_KEPT: Final = 256
MAX_TOLD: Final = 200
# Code of Busy where a check began and came to no verdict: it took too long, or too much memory.
CHECKER_FAILED: Final = "checker_failed"


class Judge(Protocol):
    async def ask(self, request: bytes) -> dict[str, Any]:
        """request: one of `edge-agent check --requests`, a line. Raises Busy where there is no answer."""
        ...


@dataclass(frozen=True, slots=True)
class TagList:
    tags: list[dict[str, Any]]
    warnings: list[ConfigProblem]


class CheckService:
    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._kept: OrderedDict[bytes, ConfigChecked] = OrderedDict()
        self._asked: dict[bytes, asyncio.Future[ConfigChecked]] = {}

    async def check(self, sections: bytes) -> ConfigChecked:
        """sections: canonical. Raises Busy."""
        key = hashlib.sha256(sections).digest()
        known = self._kept.get(key)
        if known is not None:
            self._kept.move_to_end(key)
            return known
        asked = self._asked.get(key)
        if asked is None:
            asked = self._asked[key] = asyncio.ensure_future(self._ask(sections))
            asked.add_done_callback(lambda done: self._keep(key, done))
        return await asyncio.shield(asked)

    async def close(self) -> None:
        """Gives up what is still being asked; nobody waits for it any more."""
        asked = list(self._asked.values())
        for each in asked:
            each.cancel()
        await asyncio.gather(*asked, return_exceptions=True)

    async def require(self, sections: bytes) -> ConfigChecked:
        """Raises Invalid (`bad_config`) with all problems, and Busy."""
        checked = await self.check(sections)
        refuse(checked)
        return checked

    async def read_tags(self, data: bytes, file: str, encoding: str | None) -> TagList:
        """A tag list in any dialect that agents read. Raises Invalid (`bad_tags`), Busy."""
        request = {"tags": base64.b64encode(data).decode(), "file": file, "encoding": encoding}
        answer = await self._judge.ask(orjson.dumps(request))
        problems = [_problem(each) for each in answer["problems"]]
        if problems:
            told = [problem.model_dump() for problem in problems[:MAX_TOLD]]
            raise Invalid("bad_tags", _summary(problems), problems=told)
        return TagList(answer["content"] or [], [_problem(each) for each in answer["warnings"]])

    async def _ask(self, sections: bytes) -> ConfigChecked:
        answer = await self._judge.ask(b'{"sections":%s}' % sections)
        problems = [_problem(each) for each in answer["problems"]]
        return ConfigChecked(
            valid=not problems, problems=problems,
            warnings=[_problem(each) for each in answer["warnings"]],
        )  # fmt: skip

    def _keep(self, key: bytes, done: "asyncio.Future[ConfigChecked]") -> None:
        self._asked.pop(key, None)
        if done.cancelled() or done.exception() is not None:
            return
        self._kept[key] = done.result()
        if len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)


def refuse(checked: ConfigChecked) -> None:
    """Raises Invalid (`bad_config`) where there is a problem."""
    if not checked.valid:
        told = [problem.model_dump() for problem in checked.problems[:MAX_TOLD]]
        raise Invalid("bad_config", _summary(checked.problems), problems=told)


def _summary(problems: list[ConfigProblem]) -> str:
    first = problems[0]
    text = ": ".join(part for part in (first.path, first.message) if part)
    more = len(problems) - 1
    return f"{text} (and {more} more)" if more else text


def _problem(record: dict[str, Any]) -> ConfigProblem:
    place = ":".join(str(record[key]) for key in ("line", "column") if record.get(key) is not None)
    path = ".".join(part for part in (place, record["path"]) if part)
    return ConfigProblem(path=path, message=record["message"])
