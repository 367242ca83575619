"""The OpenAPI 3.1 document, made of the route table and the models."""

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from central_sync.api.problems import CONTENT_TYPE as PROBLEM_TYPE
from central_sync.api.route import Body, Route
from central_sync.services.access import Scope
from central_sync.services.views import Problem

_PARAMETER: Final = re.compile(r"\{(\w+)\}")
_PATH_TEXT: Final = {
    "id": "Device id.",
    "hash": "SHA-256 of the schema's canonical bytes, hexadecimal.",
    "tag": "Name of the tag, percent-encoded UTF-8.",
}
_ETAGGED: Final = {"get_config", "get_config_v1", "put_config"}
_COMMON_ERRORS: Final = {401: "no_token, bad_token", 403: "role, other_device, device_token, device_only"}
WHO: Final = {
    Scope.PUBLIC: "Public.",
    Scope.DEVICE: "The device's own token.",
    Scope.DEVICE_OR_VIEWER: "The device's own token, or role viewer.",
    Scope.VIEWER: "Role viewer.",
    Scope.OPERATOR: "Role operator.",
    Scope.ADMIN: "Role admin.",
}

Json = dict[str, Any]


def openapi(routes: Sequence[Route[Any]], version: str) -> Json:
    models = _models(routes)
    _, definitions = models_json_schema(
        [(model, "serialization") for model in models], ref_template="#/components/schemas/{model}"
    )
    paths: Json = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
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
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": definitions.get("$defs", {}),
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "`hf_<id>_<secret>`"}
            },
        },
    }


def _models(routes: Iterable[Route[Any]]) -> list[type[BaseModel]]:
    found: dict[type[BaseModel], None] = {Problem: None}
    for route in routes:
        if route.body and isinstance(route.body.schema, type):
            found[route.body.schema] = None
        for answer in route.answers.values():
            if answer.schema is not None:
                found[answer.schema] = None
    return list(found)


def _operation(route: Route[Any]) -> Json:
    operation: Json = {
        "operationId": route.name,
        "tags": [route.tag],
        "summary": route.summary,
        "description": " ".join(part for part in (route.description, WHO[route.scope]) if part),
        "parameters": _parameters(route),
        "responses": _responses(route),
    }
    if route.scope is Scope.PUBLIC:
        operation["security"] = []
    if route.body is not None:
        operation["requestBody"] = _request_body(route.body)
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


def _request_body(body: Body) -> Json:
    schema: Json
    if body.schema is None:
        schema = {} if body.content_type != "application/json" else {"type": "object"}
    elif isinstance(body.schema, dict):
        schema = body.schema
    else:
        schema = {"$ref": f"#/components/schemas/{body.schema.__name__}"}
    return {
        "required": True,
        "description": f"{body.description} At most {body.limit} bytes.",
        "content": {body.content_type: {"schema": schema}},
    }


def _responses(route: Route[Any]) -> Json:
    responses: Json = {}
    for status, answer in route.answers.items():
        entry: Json = {"description": answer.description}
        if answer.schema is not None:
            schema: Json = {"$ref": f"#/components/schemas/{answer.schema.__name__}"}
            entry["content"] = {answer.content_type: {"schema": schema}}
        elif answer.content_type != "application/json":
            entry["content"] = {answer.content_type: {"schema": {"type": "string"}}}
        if route.name in _ETAGGED:
            entry["headers"] = {"ETag": {"description": "Strong.", "schema": {"type": "string"}}}
        responses[str(status)] = entry
    for status, text in errors_of(route).items():
        if str(status) not in responses:
            responses[str(status)] = {
                "description": text,
                "content": {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
            }
    return responses


def errors_of(route: Route[Any]) -> dict[int, str]:
    """All problem codes of a route by status, those that every one of its kind has included."""
    found = dict(route.errors)
    if route.scope is not Scope.PUBLIC:
        found |= _COMMON_ERRORS
    if route.body is not None:
        found[415] = "content_type, content_encoding"
    if 400 not in found and route.query.model_fields:
        found[400] = "bad_query"
    return dict(sorted(found.items()))
