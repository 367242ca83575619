"""The OpenAPI 3.1 document, made of the route table and the models."""

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from central_sync.api.authentication import COOKIE
from central_sync.api.examples import example
from central_sync.api.problems import CONTENT_TYPE as PROBLEM_TYPE
from central_sync.api.route import Body, Route
from central_sync.services.access.roles import Scope
from central_sync.services.views import Problem

_CODE: Final = re.compile(r"[a-z_]+")
_PARAMETER: Final = re.compile(r"\{(\w+)\}")
_PATH_TEXT: Final = {
    "id": "Device id.",
    "pre": "Id of a pre-registration.",
    "request": "Id of a device that waits.",
    "credential": "Id of a credential.",
    "user": "Id of a user.",
    "session": "Id of a session.",
    "token": "Id of an API token.",
    "hash": "SHA-256 of the schema's canonical bytes, hexadecimal.",
    "tag": "Name of the tag, percent-encoded UTF-8.",
    "version": "Number of a version.",
    "connection": "Name of a connection, or `device:connection`.",
    "template": "Id of a tag template.",
    "job": "Id of a job.",
    "command": "Id of a command.",
    "order": "Id of an order.",
    "mapping": "Id of a mapping.",
    "script": "Id of a script.",
}
_ETAGGED: Final = {
    "get_config", "get_config_v1", "get_scripts", "put_config", "register_device", "device_registry",
    "patch_device", "create_script", "script", "replace_script", "patch_script", "sign_script",
    "script_rollback", "assign_script",
}  # fmt: skip
_COMMON_ERRORS: Final = {
    401: "no_token, bad_token, expired, no_session",
    403: "role, area, other_device, device_token, device_only, decommissioned; origin: a session of another "
    "site's page",
}
WHO: Final = {
    Scope.PUBLIC: "Public.",
    Scope.DEVICE: "The device's own token.",
    Scope.DEVICE_OR_VIEWER: "The device's own token, or role viewer.",
    Scope.VIEWER: "Role viewer.",
    Scope.OPERATOR: "Role operator.",
    Scope.ENGINEER: "Role engineer.",
    Scope.ADMIN: "Role admin.",
}

Json = dict[str, Any]


def openapi(routes: Sequence[Route[Any]], version: str) -> Json:
    names, definitions = _definitions(routes)
    paths: Json = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, names, definitions)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Holdfast centre",
            "version": version,
            "description": "Times are UTC milliseconds, ranges inclusive pairs, sizes bytes. Errors are "
            "problem documents (RFC 9457) with a stable `code`. Lists answer `{items, next}`.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "tags": [{"name": name} for name in dict.fromkeys(route.tag for route in routes)],
        "security": [{"token": []}, {"session": []}],
        "paths": paths,
        "components": {
            "schemas": definitions,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "`hf_<id>_<secret>`"},
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": COOKIE,
                    "description": "A person's, from `POST /api/fleet/login`; what changes something needs "
                    "the `Origin` of this centre beside it.",
                },
            },
        },
    }


class Names:
    """How the document refers to a model: what is taken and what is given may differ in what is required."""

    def __init__(self, found: Mapping[Any, Json]) -> None:
        self._found = found

    def taken(self, model: type[BaseModel]) -> Json:
        return self._found[(model, "validation")]

    def given(self, model: type[BaseModel]) -> Json:
        return self._found[(model, "serialization")]


def _definitions(routes: Sequence[Route[Any]]) -> tuple[Names, Json]:
    wanted: dict[tuple[type[BaseModel], Literal["validation", "serialization"]], None] = {
        (Problem, "serialization"): None
    }
    for route in routes:
        if route.body and isinstance(route.body.schema, type):
            wanted[(route.body.schema, "validation")] = None
        for answer in route.answers.values():
            if answer.schema is not None:
                wanted[(answer.schema, "serialization")] = None
    found, definitions = models_json_schema(list(wanted), ref_template="#/components/schemas/{model}")
    return Names(found), definitions.get("$defs", {})


def _operation(route: Route[Any], names: Names, definitions: Json) -> Json:
    operation: Json = {
        "operationId": route.name,
        "tags": [route.tag],
        "summary": route.summary,
        "description": " ".join(part for part in (route.description, WHO[route.scope]) if part),
        "parameters": _parameters(route),
        "responses": _responses(route, names, definitions),
    }
    if route.scope is Scope.PUBLIC:
        operation["security"] = []
    if route.body is not None:
        operation["requestBody"] = _request_body(route.body, names, definitions)
    return operation


def _parameters(route: Route[Any]) -> list[Json]:
    result: list[Json] = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": _PATH_TEXT[name],
            "schema": {"type": "string"},
        }
        for name in _PARAMETER.findall(route.path)
    ]
    schema = route.query.model_json_schema(by_alias=True, ref_template="#/components/schemas/{model}")
    for name, part in schema.get("properties", {}).items():
        described = {key: value for key, value in _inline(part, schema).items() if key != "title"}
        text = described.pop("description", "")
        result.append({"name": name, "in": "query", "description": text, "schema": described})
    for name, text in route.headers.items():
        result.append({"name": name, "in": "header", "description": text, "schema": {"type": "string"}})
    return result


def _inline(part: Any, schema: Json) -> Any:
    """A parameter's schema without references: parameters are small."""
    if isinstance(part, list):
        return [_inline(entry, schema) for entry in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        return _inline(schema["$defs"][part["$ref"].rsplit("/", 1)[1]], schema)
    return {key: _inline(value, schema) for key, value in part.items()}


def _request_body(body: Body, names: Names, definitions: Json) -> Json:
    schema: Json
    if body.schema is None:
        schema = {} if body.content_type != "application/json" else {"type": "object"}
    elif isinstance(body.schema, dict):
        schema = body.schema
    else:
        schema = names.taken(body.schema)
    return {
        "required": True,
        "description": f"{body.description} At most {body.limit} bytes.",
        "content": {body.content_type: _content(schema, definitions)},
    }


def _content(schema: Json, definitions: Json) -> Json:
    if not schema:
        return {"schema": schema}
    return {"schema": schema, "example": example(schema, definitions)}


def _responses(route: Route[Any], names: Names, definitions: Json) -> Json:
    responses: Json = {}
    for status, answer in route.answers.items():
        entry: Json = {"description": answer.description}
        if answer.schema is not None:
            entry["content"] = {answer.content_type: _content(names.given(answer.schema), definitions)}
        elif answer.content_type != "application/json":
            entry["content"] = {answer.content_type: {"schema": {"type": "string"}}}
        if route.name in _ETAGGED:
            entry["headers"] = {"ETag": {"description": "Strong.", "schema": {"type": "string"}}}
        responses[str(status)] = entry
    for status, text in errors_of(route).items():
        if str(status) not in responses:
            responses[str(status)] = _problem_response(status, text)
    return responses


def _problem_response(status: int, text: str) -> Json:
    code = _CODE.match(text)
    shown = {
        "type": f"urn:holdfast:problem:{code[0] if code else 'code'}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": "what is wrong, where, and what to do",
        "code": code[0] if code else "code",
    }
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": text, "content": {PROBLEM_TYPE: {"schema": schema, "example": shown}}}


def errors_of(route: Route[Any]) -> dict[int, str]:
    """All problem codes of a route by status, those that every one of its kind has included."""
    found: dict[int, list[str]] = {status: [text] for status, text in route.errors.items()}

    def add(status: int, text: str) -> None:
        found.setdefault(status, []).append(text)

    if route.query.model_fields:
        add(400, "bad_query")
    if "{id}" in route.path:
        add(400, "bad_device_id")
        add(404, "unknown_device")
    if route.scope is not Scope.PUBLIC:
        for status, text in _COMMON_ERRORS.items():
            add(status, text)
    if route.body is not None:
        add(400, "bad_body")
        add(413, "too_large")
        add(415, "content_type, content_encoding")
    if route.method != "GET":
        add(503, "busy, storage: nothing was stored; come back after Retry-After")
    add(429, "rate_limited: come back after Retry-After")
    return {status: "; ".join(_distinct(texts)) for status, texts in sorted(found.items())}


def _distinct(texts: list[str]) -> list[str]:
    """Without the texts whose code another one names already."""
    kept: list[str] = []
    for text in texts:
        if not any(text.partition(":")[0] in other for other in kept):
            kept.append(text)
    return kept
