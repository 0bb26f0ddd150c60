"""Every input of a service, found in its own OpenAPI document: where a number can be put, and the request that carries it."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import quote

__all__ = ["Draft", "Input", "Known", "Operation", "inputs_of", "operations_of", "plain_request"]

Known = Mapping[str, Callable[[], Any]]
"""By the name of a parameter or field: something that gives a value the service accepts there."""

_METHODS: Final = ("get", "put", "post", "delete", "patch")
_HEADERS: Final = (
    "User-Agent",
    "Referer",
    "X-Request-Id",
    "X-Forwarded-For",
    "Idempotency-Key",
    "Cookie",
    "traceparent",
)
_WORDS: Final = (
    "a1",
    "KM01",
    "92",
    "kunming-01",
    "2026-03-06",
    "1",
    "01",
    "0" * 20,
    "91530100MA6K0000X0",
    "a" * 32,
    "x" * 8,
)
_DEEPEST: Final = 8
_AS_COUNT: Final = " as a number"


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of a service.

    Attributes:
        method: in capitals.
        path: with its placeholders.
        parameters: (name, where: path, query or header; schema).
        body: schema of its JSON body, None without one.
        is_stream: it answers with a stream that has no end of its own.
    """

    method: str
    path: str
    parameters: tuple[tuple[str, str, dict[str, Any]], ...]
    body: dict[str, Any] | None
    is_stream: bool

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True)
class Draft:
    """A request without its key.

    Attributes:
        places: values of the path's placeholders.
        body: JSON value; bytes go out as they are; None sends none.
    """

    operation: Operation
    places: dict[str, str]
    query: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None

    @property
    def target(self) -> str:
        """Path and query."""
        path = self.operation.path
        for name, value in self.places.items():
            path = path.replace(f"{{{name}}}", quote(value, safe=""))
        query = "&".join(f"{quote(name)}={quote(value)}" for name, value in self.query.items())
        return f"{path}?{query}" if query else path

    @property
    def content(self) -> bytes | None:
        """The body's bytes."""
        if self.body is None or isinstance(self.body, bytes):
            return self.body
        return json.dumps(self.body, ensure_ascii=False).encode()


@dataclass(frozen=True, slots=True)
class Input:
    """One place that takes something.

    Attributes:
        name: for people: operation and field.
        planted: the request that carries this number there.
        is_count: it goes in as an integer. A phone number cannot be told from a count of eleven digits, so none is planted.
    """

    name: str
    planted: Callable[[str], Draft]
    is_count: bool = False


def operations_of(document: Mapping[str, Any]) -> list[Operation]:
    """The operations of an OpenAPI 3 document, in the order of their paths."""
    found = []
    for path, methods in sorted(document["paths"].items()):
        for method in _METHODS:
            if method in methods:
                told = methods[method]
                found.append(
                    Operation(
                        method.upper(),
                        path,
                        tuple(
                            (one["name"], one["in"], _whole(one.get("schema", {}), document))
                            for one in told.get("parameters", ())
                        ),
                        _body_of(told, document),
                        "text/event-stream" in told.get("responses", {}).get("200", {}).get("content", {}),
                    )
                )
    return found


def plain_request(operation: Operation, known: Known) -> Draft:
    """A request that the service should accept."""
    parts: dict[str, dict[str, str]] = {"path": {}, "query": {}, "header": {}}
    for name, where, schema in operation.parameters:
        if where in parts and (where == "path" or name in known):
            parts[where][name] = str(_example(schema, name, known))
    body = None if operation.body is None else _example(operation.body, "", known)
    return Draft(operation, parts["path"], parts["query"], parts["header"], body)


def inputs_of(operation: Operation, known: Known) -> Iterator[Input]:
    """Every input of an operation: parameters, headers, each field of the body alone, and what it does not know at all."""
    for place, change in _changes(operation, known):
        is_count = place.endswith(_AS_COUNT)
        yield Input(f"{operation.name}: {place}", _planter(operation, known, change), is_count)


_Change = Callable[[Draft, str], Draft]


def _planter(operation: Operation, known: Known, change: _Change) -> Callable[[str], Draft]:
    return lambda number: change(plain_request(operation, known), number)


def _changes(operation: Operation, known: Known) -> Iterator[tuple[str, _Change]]:
    for name, where, _ in operation.parameters:
        yield f"{where} {name}", _in_part({"path": "places", "query": "query"}.get(where, "headers"), name)
    yield (
        "unknown query",
        lambda draft, number: replace(draft, query={**draft.query, "q": number, number: "1"}),
    )
    yield (
        "headers",
        lambda draft, number: replace(draft, headers=draft.headers | dict.fromkeys(_HEADERS, number)),
    )
    if operation.method == "GET":
        return
    yield "form body", _as_bytes("accNo={0}&note={0}")
    if operation.body is None:
        return
    for steps, schema in _leaves(operation.body):
        told = f"field {'.'.join(map(str, steps))}"
        kinds = _types(schema)
        yield told, _setter(operation.body, steps, known)
        if "string" in kinds:
            yield f"{told} among words", _setter(operation.body, steps, known, around="卡号 {} 谢谢")
        if kinds & {"integer", "number"}:
            yield f"{told}{_AS_COUNT}", _setter(operation.body, steps, known, as_number=True)
    yield "unknown field", lambda draft, number: replace(draft, body=_with(draft.body, "note", number))
    yield "name of a field", lambda draft, number: replace(draft, body=_with(draft.body, number, 1))
    yield "body that is text", _as_bytes('"{0}"')
    yield "body that is broken JSON", _as_bytes('{{"a": {0}')
    yield "body that is a list", _as_bytes("[{0}]")


def _in_part(part: str, name: str) -> _Change:
    return lambda draft, number: replace(draft, **{part: {**getattr(draft, part), name: number}})  # type: ignore[arg-type]


def _as_bytes(text: str) -> _Change:
    return lambda draft, number: replace(draft, body=text.format(number).encode())


def _setter(
    body: dict[str, Any],
    steps: tuple[str | int, ...],
    known: Known,
    *,
    as_number: bool = False,
    around: str = "{}",
) -> Callable[[Draft, str], Draft]:
    def change(draft: Draft, number: str) -> Draft:
        value: Any = int(number) if as_number else around.format(number)
        made = copy.deepcopy(draft.body)
        return replace(draft, body=_put(made, body, steps, value, known))

    return change


def _put(made: Any, schema: dict[str, Any], steps: Sequence[str | int], value: Any, known: Known) -> Any:
    """Put a value into an example, making what is missing on the way."""
    if not steps:
        return value
    step, *rest = steps
    if isinstance(step, int):
        items = list(made) if isinstance(made, list) and made else [_example(_inner(schema, step), "", known)]
        items[0] = _put(items[0], _inner(schema, step), rest, value, known)
        return items
    fields = dict(made) if isinstance(made, dict) else _example(_object(schema), "", known)
    inner = _inner(schema, step)
    fields[step] = _put(fields.get(step), inner, rest, value, known)
    return fields


def _with(body: Any, name: str, value: Any) -> Any:
    return {**body, name: value} if isinstance(body, dict) else {name: value}


def _options(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """What a schema allows, without null."""
    options = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf") or [schema]
    found = [option for option in options if option.get("type") != "null"]
    return found or [schema]


def _object(schema: dict[str, Any]) -> dict[str, Any]:
    return next((option for option in _options(schema) if "properties" in option), schema)


def _inner(schema: dict[str, Any], step: str | int) -> dict[str, Any]:
    for option in _options(schema):
        if isinstance(step, int) and "items" in option:
            return dict(option["items"])
        if step in option.get("properties", {}):
            return dict(option["properties"][step])
    return {}


def _types(schema: dict[str, Any]) -> set[str]:
    found: set[str] = set()
    for option in _options(schema):
        kind = option.get("type", "string")
        found.update([kind] if isinstance(kind, str) else kind)
    return found


def _leaves(
    schema: dict[str, Any], steps: tuple[str | int, ...] = ()
) -> Iterator[tuple[tuple[str | int, ...], dict[str, Any]]]:
    if len(steps) > _DEEPEST:
        return
    is_leaf = True
    for option in _options(schema):
        for name, inner in option.get("properties", {}).items():
            is_leaf = False
            yield from _leaves(inner, (*steps, name))
        if "items" in option:
            is_leaf = False
            yield from _leaves(option["items"], (*steps, 0))
    if is_leaf and steps:
        yield steps, schema


def _example(schema: dict[str, Any], name: str, known: Known) -> Any:
    """A value that a schema allows; the fields of an object that are required, or known."""
    option = _options(schema)[0]
    if "const" in option:
        return option["const"]
    if "enum" in option:
        return option["enum"][0]
    if name in known:
        return known[name]()
    kinds = _types(option)
    if "properties" in option or "object" in kinds:
        wanted = option.get("required", ())
        return {
            key: _example(inner, key, known)
            for key, inner in option.get("properties", {}).items()
            if key in wanted or key in known
        }
    if "array" in kinds:
        return [
            _example(option.get("items", {}), "", known) for _ in range(max(1, option.get("minItems", 0)))
        ]
    if "boolean" in kinds:
        return True
    if kinds & {"integer", "number"}:
        return int(max(option.get("minimum", 1), option.get("exclusiveMinimum", 0) + 1))
    return _text(option)


def _text(schema: Mapping[str, Any]) -> str:
    least, most = int(schema.get("minLength", 1)), int(schema.get("maxLength", 1 << 16))
    pattern = str(schema.get("pattern", ""))
    for word in _WORDS:
        if least <= len(word) <= most and re.search(pattern, word):
            return word
    return "x" * max(1, least)


def _body_of(told: Mapping[str, Any], document: Mapping[str, Any]) -> dict[str, Any] | None:
    content = told.get("requestBody", {}).get("content", {})
    for kind, entry in content.items():
        if "json" in kind:
            return dict(_whole(entry.get("schema", {}), document))
    return None


def _whole(schema: Any, document: Mapping[str, Any], depth: int = 0) -> Any:
    """The schema with its references replaced by what they name."""
    if depth > 4 * _DEEPEST:
        return {}
    if isinstance(schema, list):
        return [_whole(item, document, depth + 1) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        target: Any = document
        for step in schema["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        return _whole(target, document, depth + 1)
    return {key: _whole(value, document, depth + 1) for key, value in schema.items()}
