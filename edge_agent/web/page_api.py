"""What the page asks: a handler reads the query, calls one method of `Inspection`, and encodes.

Answers carry an ETag of their content, so that a page on which nothing moves is not sent again.
"""

import time
from dataclasses import asdict
from typing import Final

import orjson
from aiohttp import web
from pydantic import JsonValue

from edge_agent.contracts.inspection import Inspection, NoTrend, RetryLater, TrendQuery, ValueQuery
from edge_agent.runtime import health
from edge_agent.web.assets import etag_of, is_current

MAX_LIMIT: Final = 500
MAX_BUCKETS: Final = 2_000
_MAX_CONFIG_CHARACTERS: Final = 1 << 20
_LEVELS: Final = ("debug", "info", "warning", "error")
_MOST: Final = (1 << 63) - 1
_MOST_EXACT: Final = (1 << 53) - 1  # JavaScript's Number.MAX_SAFE_INTEGER
_MOST_DIGITS: Final = 19  # of _MOST; Python takes long to read very long numbers


class PageApi:
    """One method a route of `PAGE_ROUTES`."""

    def __init__(self, inspection: Inspection) -> None:
        self._inspection = inspection

    async def overview(self, request: web.Request) -> web.Response:
        status = self._inspection.status()
        found = health.findings(status)
        head = orjson.dumps(
            {
                "now": time.time_ns() // 1_000_000,
                "state": "degraded" if found else "online",
                "findings": [asdict(finding) for finding in found],
            }
        )
        return _json(request, head[:-1] + b',"status":' + status.model_dump_json().encode() + b"}")

    async def values(self, request: web.Request) -> web.Response:
        query = ValueQuery(
            connection=request.query.get("connection") or None,
            text=request.query.get("q", ""),
            offset=_number(request, "offset", 0),
            limit=_number(request, "limit", 100, most=MAX_LIMIT),
        )
        page = await self._inspection.values(query)
        items = [item.model_copy(update={"value": _for_browsers(item.value)}) for item in page.items]
        return _json(request, page.model_copy(update={"items": items}).model_dump_json().encode())

    async def trend(self, request: web.Request) -> web.Response:
        start, end = _number(request, "start"), _number(request, "end")
        bucket = _number(request, "bucket_ms", least=1)
        if not start < end or (end - start) > bucket * MAX_BUCKETS:
            raise web.HTTPBadRequest(text=f"start must be before end, with at most {MAX_BUCKETS} buckets")
        query = TrendQuery(
            _text(request, "connection"), _text(request, "group"), _text(request, "tag"), start, end, bucket,
            _number(request, "before") if "before" in request.query else None,
        )  # fmt: skip
        try:
            piece = await self._inspection.trend(query)
        except NoTrend as error:
            raise web.HTTPNotFound(text=str(error)) from error
        except RetryLater as error:
            raise _later(error) from error
        return _json(request, piece.model_dump_json().encode())

    async def config(self, request: web.Request) -> web.Response:
        status = self._inspection.status()
        text = ""
        async for piece in self._inspection.config_text():
            text += piece
            if len(text) > _MAX_CONFIG_CHARACTERS:
                text += "# … the download has the rest\n"
                break
        report = status.config.model_dump(mode="json")
        return _json(request, orjson.dumps({"report": report, "path": status.config_path, "text": text}))

    async def download(self, request: web.Request) -> web.StreamResponse:
        device = self._inspection.status().device
        pieces = self._inspection.config_text(whole=True)
        try:  # before the head is sent: an error is then an answer of its own
            first = await anext(pieces, "")
        except RetryLater as error:
            raise _later(error) from error
        response = web.StreamResponse(
            headers={
                "Content-Type": "application/yaml; charset=utf-8",
                "Content-Disposition": f'attachment; filename="{device}-config.yaml"',
                "Cache-Control": "no-store",
            }
        )
        await response.prepare(request)
        await response.write(first.encode())
        async for piece in pieces:
            await response.write(piece.encode())
        await response.write_eof()
        return response

    async def log(self, request: web.Request) -> web.Response:
        level = request.query.get("level", "info")
        if level not in _LEVELS:
            raise web.HTTPBadRequest(text=f"level is one of {', '.join(_LEVELS)}")
        after = _number(request, "after", 0)
        page = self._inspection.log(after, level, _number(request, "limit", 200, least=1, most=MAX_LIMIT))
        return _json(request, page.model_dump_json().encode())


def _for_browsers(value: JsonValue) -> JsonValue:
    """A value in which whole numbers that a browser would round are texts."""
    if isinstance(value, list):
        return [_for_browsers(item) for item in value]
    if isinstance(value, dict):
        return {key: _for_browsers(item) for key, item in value.items()}
    return str(value) if isinstance(value, int) and abs(value) > _MOST_EXACT else value


def _later(error: RetryLater) -> web.HTTPServiceUnavailable:
    return web.HTTPServiceUnavailable(text=str(error))


def _json(request: web.Request, body: bytes) -> web.Response:
    etag = etag_of(body)
    headers = {"ETag": etag, "Cache-Control": "no-cache"}
    if is_current(request, etag):
        return web.Response(status=304, headers=headers)
    return web.Response(body=body, content_type="application/json", headers=headers)


def _text(request: web.Request, name: str) -> str:
    value = request.query.get(name)
    if not value:
        raise web.HTTPBadRequest(text=f"{name} is missing")
    return value


def _number(
    request: web.Request, name: str, default: int | None = None, *, least: int = 0, most: int = _MOST
) -> int:
    text = request.query.get(name, None if default is None else str(default))
    if text is not None and len(text) <= _MOST_DIGITS and text.isascii() and text.isdigit():
        number = int(text)
        if least <= number <= most:
            return number
    raise web.HTTPBadRequest(text=f"{name} must be a whole number from {least} to {most}")
