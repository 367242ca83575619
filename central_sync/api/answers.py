"""Making answers: JSON of a model or of a text that is JSON already."""

from typing import Any

import orjson
from aiohttp import web
from pydantic import BaseModel


def json(text: str, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(status=status, body=text.encode(), content_type="application/json", headers=headers)


def model(view: BaseModel, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return json(view.model_dump_json(by_alias=True), status, headers)


def objects(items: list[dict[str, Any]], following: str | None) -> web.Response:
    """A page of plain objects, for long lists that need no model: `{items, next}`."""
    return web.Response(
        body=orjson.dumps({"items": items, "next": following}), content_type="application/json"
    )
