"""`/openapi.json`: OpenAPI 3.1, made of the endpoints and of the models that parse requests and shape answers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode, JsonSchemaValue

from edgesync import __version__
from edgesync.expose.access import PROBES, READING
from edgesync.expose.endpoints import BINARY, JSON, Endpoint
from edgesync.expose.refusals import PROBLEM, Problem

_REFERENCE = "#/components/schemas/{model}"
# The ways to show a credential, and none at all.
_CREDENTIALS: list[dict[str, list[str]]] = [{"bearer": []}, {"keystone": []}]
Key = tuple[str, str]


def openapi(endpoints: Sequence[Endpoint], *, reading_is_open: bool) -> dict[str, Any]:
    """The whole document."""
    schemas, shared = TypeAdapter.json_schemas(list(_models(endpoints)), ref_template=_REFERENCE)
    named = {key: schema for (key, _), schema in schemas.items()}
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        operation = _operation(endpoint, named, shared.get("$defs", {}), reading_is_open=reading_is_open)
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "edgesync",
            "version": __version__,
            "summary": "Keeps OpenStack images where edge sites need them.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": shared.get("$defs", {}),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "A token of api.tokens, or Keystone's."},
                "keystone": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"},
            },
        },
    }


def _models(endpoints: Sequence[Endpoint]) -> Iterator[tuple[Key, JsonSchemaMode, TypeAdapter[Any]]]:
    """Everything that is parsed or sent, by where that is."""
    yield ("", "problem"), "serialization", TypeAdapter(Problem)
    for endpoint in endpoints:
        place = f"{endpoint.method} {endpoint.path}"
        if endpoint.query is not None:
            yield (place, "query"), "validation", TypeAdapter(endpoint.query)
        if endpoint.body is not None:
            yield (place, "body"), "validation", TypeAdapter(endpoint.body)
        for status, answer in endpoint.answers.items():
            if answer is not None:
                yield (place, str(status.value)), "serialization", TypeAdapter(answer)


def _operation(
    endpoint: Endpoint, named: dict[Key, JsonSchemaValue], shared: dict[str, Any], *, reading_is_open: bool
) -> dict[str, Any]:
    place = f"{endpoint.method} {endpoint.path}"
    responses: dict[str, Any] = {
        str(status.value): _content(
            status.phrase, endpoint.content, named.get((place, str(status.value)), {"type": "string"})
        )
        for status in endpoint.answers
    }
    responses["default"] = _content("Refused: why, and what to do.", PROBLEM, named["", "problem"])
    operation: dict[str, Any] = {
        "operationId": _identifier(endpoint),
        "summary": endpoint.summary,
        "parameters": [*_path_parameters(endpoint.path), *_query_parameters(named.get((place, "query")), shared)],
        "responses": responses,
        "security": _security(endpoint, reading_is_open=reading_is_open),
    }
    if endpoint.body is not None:
        operation["requestBody"] = {"required": True, "content": {JSON: {"schema": named[place, "body"]}}}
    if endpoint.takes_data:
        operation["requestBody"] = {"required": True, "content": {BINARY: {}}}
    return operation


def _security(endpoint: Endpoint, *, reading_is_open: bool) -> list[dict[str, list[str]]]:
    if endpoint.method not in READING:
        return _CREDENTIALS
    return [{}, *_CREDENTIALS] if reading_is_open or endpoint.path in PROBES else _CREDENTIALS


def _content(description: str, kind: str, schema: JsonSchemaValue) -> dict[str, Any]:
    return {"description": description, "content": {kind: {"schema": schema}}}


def _path_parameters(path: str) -> Iterator[dict[str, Any]]:
    for name in re.findall(r"{(\w+)}", path):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _query_parameters(schema: JsonSchemaValue | None, shared: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """One for each field of the model that the query is parsed with."""
    if schema is None:
        return
    if reference := schema.get("$ref"):
        schema = shared[str(reference).rpartition("/")[2]]
    for name, field in schema["properties"].items():
        yield {"name": name, "in": "query", "required": name in schema.get("required", ()), "schema": field}


def _identifier(endpoint: Endpoint) -> str:
    words = re.findall(r"[a-z]+", endpoint.path.removeprefix("/v1"))
    return "_".join([endpoint.method.lower(), *words])
