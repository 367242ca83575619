"""What the API says about itself: openapi.json, a page for reading, and the same as Markdown."""

import asyncio
import re
from collections.abc import Sequence
from functools import cached_property
from html import escape
from typing import Any, Final

import orjson
from aiohttp import web

from central_sync import VERSION
from central_sync.api.openapi import WHO, errors_of, openapi
from central_sync.api.route import Answer, Call, NoQuery, Route
from central_sync.services.access.roles import Scope

_CODE: Final = re.compile(r"`([^`]+)`")


class Documents:
    """Made when somebody asks for them: that takes as long as half a start, and few ever ask."""

    def __init__(self, routes: Sequence[Route[Any]]) -> None:
        self._routes = routes

    @cached_property
    def openapi(self) -> bytes:
        return orjson.dumps(openapi(self._routes, VERSION))

    @cached_property
    def page(self) -> bytes:
        return page(self._routes).encode()


DOCUMENTS: Final = web.AppKey("documents", Documents)


async def openapi_json(call: Call[NoQuery]) -> web.Response:
    made = call.request.app[DOCUMENTS]
    return web.Response(body=await asyncio.to_thread(lambda: made.openapi), content_type="application/json")


async def docs(call: Call[NoQuery]) -> web.Response:
    made = call.request.app[DOCUMENTS]
    body = await asyncio.to_thread(lambda: made.page)
    return web.Response(body=body, content_type="text/html", charset="utf-8")


ROUTES: Final[list[Route[NoQuery]]] = [
    Route(
        "GET", "/api/openapi.json", "openapi", Scope.PUBLIC, "documents", "This API as OpenAPI 3.1",
        openapi_json, NoQuery, {200: Answer("The document.")},
    ),
    Route(
        "GET", "/api/docs", "docs", Scope.PUBLIC, "documents", "This API as a page for reading",
        docs, NoQuery, {200: Answer("The page.", None, "text/html")},
    ),
]  # fmt: skip


def markdown(routes: Sequence[Route[Any]]) -> str:
    """docs/api.md."""
    lines = [
        "# The centre's API",
        "",
        "Generated from the route table by `central-sync openapi --markdown`; a test compares. Bodies and",
        "answers are described in full by `central-sync openapi` and `/api/openapi.json`.",
        "",
        "Every route but the public ones needs `Authorization: Bearer hf_…`. Errors are problem documents",
        "(RFC 9457) with a stable `code`.",
    ]
    for tag in dict.fromkeys(route.tag for route in routes):
        lines += ["", f"## {tag}"]
        for route in routes:
            if route.tag == tag:
                lines += _markdown_route(route)
    return "\n".join(lines) + "\n"


def _markdown_route(route: Route[Any]) -> list[str]:
    lines = ["", f"### {route.method} {route.path}", "", f"{route.summary}. {WHO[route.scope]}", ""]
    for name, kind, text in _parameter_rows(route):
        lines.append(f"- {kind} `{name}`{': ' + text if text else ''}")
    if route.body is not None:
        lines.append(
            f"- body `{route.body.content_type}`, at most {route.body.limit} bytes: {route.body.description}"
        )
    for status, answer in route.answers.items():
        model = f" `{answer.schema.__name__}`" if answer.schema else ""
        lines.append(f"- {status}{model}: {answer.description}")
    for status, text in errors_of(route).items():
        if status not in route.answers:
            lines.append(f"- {status}: {text}")
    return lines


def _parameter_rows(route: Route[Any]) -> list[tuple[str, str, str]]:
    rows = [
        (field.alias or name, "query", field.description or "")
        for name, field in route.query.model_fields.items()
    ]
    return rows + [(name, "header", text) for name, text in route.headers.items()]


def page(routes: Sequence[Route[Any]]) -> str:
    parts = [
        "<!doctype html><html lang=en><head><meta charset=utf-8>",
        '<meta name=viewport content="width=device-width,initial-scale=1">',
        "<title>Holdfast API</title>",
        "<link rel=icon href=/icon.svg><link rel=stylesheet href=/console.css></head>",
        "<body class=docs><main><h1>Holdfast API</h1>",
        '<p>As OpenAPI 3.1: <a href="/api/openapi.json">openapi.json</a>. Errors are problem documents '
        "(RFC 9457). Tokens go into <code>Authorization: Bearer hf_…</code>.</p>",
    ]
    for tag in dict.fromkeys(route.tag for route in routes):
        parts.append(f"<h2>{escape(tag)}</h2>")
        parts += [_html_route(route) for route in routes if route.tag == tag]
    return "".join([*parts, "</main></body></html>"])


def _html_route(route: Route[Any]) -> str:
    texts = [escape(line[2:]) for line in _markdown_route(route)[3:] if line.startswith("- ")]
    items = "".join(["<li>" + _CODE.sub(r"<code>\1</code>", text) + "</li>" for text in texts])
    return (
        f"<section><h3><code>{route.method} {escape(route.path)}</code></h3>"
        f"<p>{escape(route.summary)}. {escape(WHO[route.scope])}</p><ul>{items}</ul></section>"
    )
