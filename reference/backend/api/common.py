"""What the routes share: documented refusals, raw bodies, path and query types."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec
from fastapi import Path, Query, Request, Response

from reference.backend.errors import ApiError, ErrorBody

__all__ = [
    "AfterQuery",
    "EntityId",
    "NoticeOk",
    "StationPath",
    "body_of",
    "check_size",
    "document_openness",
    "document_refusals",
    "json_response",
    "raw_body",
    "refusals",
    "secured",
]

T = TypeVar("T")

StationPath = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,16}$")]
EntityId = Annotated[str, Path(pattern=r"^[a-z0-9_]{1,40}$")]
AfterQuery = Annotated[int, Query(ge=0, le=2**53)]
NoticeOk = {"code": "SUCCESS"}

_WORDS = {
    401: "The bearer key is missing or wrong",
    403: "This role may not do it",
    404: "There is no such thing",
    409: "It contradicts what is known",
    413: "The body is too large",
    422: "The request is malformed",
    502: "The gateway refused",
    503: "Try again, with the same keys",
}
_REFUSED = {"application/json": {"schema": {"$ref": f"#/components/schemas/{ErrorBody.__name__}"}}}


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Documents refusals of a route; `document_refusals` describes the body they share.

    By reference: FastAPI would build a serialiser for the model of each, which for three hundred is most of what an
    application takes to build, and `reference.backend.errors.refusal` writes them all.
    """
    return {status: {"description": _WORDS[status], "content": _REFUSED} for status in statuses}


def document_openness(document: dict[str, Any]) -> None:
    """Say of each operation of an OpenAPI document that wants no key that it wants none, and of each body that it may be too large.

    In place. An operation that is silent about keys reads as one that was forgotten (linters say so).
    """
    for operations in document.get("paths", {}).values():
        for operation in operations.values():
            operation.setdefault("security", [])
            if "requestBody" in operation:
                operation["responses"].setdefault("413", refusals(413)[413])


def document_refusals(document: dict[str, Any]) -> None:
    """Add the body of every refusal to the schemas of an OpenAPI document, in place."""
    components = document.setdefault("components", {})
    schemas = {**components.get("schemas", {}), ErrorBody.__name__: ErrorBody.model_json_schema()}
    components["schemas"] = dict(sorted(schemas.items()))


def secured(**more: Any) -> dict[str, Any]:
    """Documents that a bearer key is needed."""
    return {"security": [{"bearer": []}], **more}


def raw_body(kind: type) -> dict[str, Any]:
    """Documents a body that the route reads by itself."""
    (schema,), components = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    inlined = _inline(schema, components)
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": inlined}}}}


def _inline(node: Any, components: dict[str, Any]) -> Any:
    if isinstance(node, dict):
        if "$ref" in node:
            return _inline(components[node["$ref"].rsplit("/", 1)[1]], components)
        return {key: _inline(value, components) for key, value in node.items()}
    if isinstance(node, list):
        return [_inline(item, components) for item in node]
    return node


def check_size(size: int | str, limit: int) -> None:
    """Refuse a body by its size, or by a header that tells it. Raises `ApiError` 413 above the limit."""
    if isinstance(size, str):
        size = int(size) if size.isdigit() else 0
    if size > limit:
        raise ApiError(413, "too_large", f"the body is larger than {limit} bytes")


async def body_of(request: Request, limit: int) -> bytes:
    """The raw body. Raises `ApiError` 413 above the limit."""
    check_size(request.headers.get("content-length", ""), limit)
    body = await request.body()
    check_size(len(body), limit)
    return body


def json_response(content: Any, status: int = 200) -> Response:
    """JSON by msgspec."""
    return Response(msgspec.json.encode(content), status, media_type="application/json")
