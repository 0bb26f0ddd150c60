"""The planter finds every input in a service's document; what a service that keeps everything writes is found again."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import logging
import sqlite3
from contextlib import closing

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from scenarios.leaks import Finder, Scan, make_canaries
from scenarios.leaks.inputs import inputs_of, operations_of, plain_request
from scenarios.leaks.plant import Basket, Planter
from scenarios.verdicts import Verdict

DOCUMENT = {
    "openapi": "3.1.0",
    "components": {
        "schemas": {
            "Title": {
                "type": "object",
                "required": ["name"],
                "properties": {
                    "name": {"type": "string", "minLength": 1},
                    "tax": {"anyOf": [{"type": "string", "pattern": "^[0-9A-Z]{15,20}$"}, {"type": "null"}]},
                },
            },
            "Order": {
                "type": "object",
                "required": ["token", "nozzle", "mode"],
                "properties": {
                    "token": {"type": "string"},
                    "nozzle": {"type": "integer", "minimum": 3},
                    "mode": {"enum": ["postpay", "prepay"]},
                    "title": {"anyOf": [{"$ref": "#/components/schemas/Title"}, {"type": "null"}]},
                    "flags": {"type": "array", "items": {"type": "string"}},
                    "lines": {"type": "array", "items": {"$ref": "#/components/schemas/Title"}},
                },
            },
        }
    },
    "paths": {
        "/orders/{order}": {
            "post": {
                "parameters": [
                    {"name": "order", "in": "path", "required": True, "schema": {"type": "string"}},
                    {"name": "after", "in": "query", "schema": {"type": "integer"}},
                ],
                "requestBody": {
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Order"}}}
                },
                "responses": {"200": {}},
            },
            "get": {
                "parameters": [
                    {"name": "order", "in": "path", "required": True, "schema": {"type": "string"}}
                ],
                "responses": {"200": {}},
            },
        }
    },
}


def test_every_place_of_a_document_is_an_input():
    get, post = operations_of(DOCUMENT)
    assert plain_request(post, {"order": lambda: "o1"}).body == {
        "token": "a1",
        "nozzle": 3,
        "mode": "postpay",
    }
    names = [one.name.removeprefix("POST /orders/{order}: ") for one in inputs_of(post, {})]
    for wanted in (
        "path order",
        "query after",
        "headers",
        "unknown query",
        "field token",
        "field nozzle as a number",
        "field mode",
        "field title.name among words",
        "field title.tax",
        "field flags.0",
        "field lines.0.name",
        "unknown field",
        "name of a field",
        "form body",
    ):
        assert wanted in names
    assert len(names) == len(set(names))
    for one in inputs_of(post, {}):
        draft = one.planted("6222021234567894")
        sent = f"{draft.target} {draft.headers} {(draft.content or b'').decode()}"
        assert "6222021234567894" in sent, one.name
    assert len(list(inputs_of(get, {}))) == 3


class Hoarder:
    """A backend that keeps whatever comes, in one of several ways."""

    def __init__(self, folder, way):
        self.way = way
        self.folder = folder
        self.log = logging.getLogger("hoarder")
        self.app = Starlette(routes=[Route("/orders/{order}", self.take, methods=["GET", "POST"])])

    async def take(self, request):
        body = await request.body()
        everything = f"{request.url} {list(request.headers.items())} ".encode() + body
        getattr(self, self.way)(everything)
        return JSONResponse({})

    def database(self, data):
        with closing(sqlite3.connect(self.folder / "backend.sqlite3")) as db, db:
            db.execute("PRAGMA synchronous = OFF")
            db.execute("CREATE TABLE IF NOT EXISTS seen (id INTEGER PRIMARY KEY, body BLOB)")
            db.execute("INSERT INTO seen (body) VALUES (?)", (data,))

    def log_line(self, data):
        self.log.warning("request %s", data.decode("utf-8", "replace"))

    def trace(self, data):
        with (self.folder / "events.ndjson").open("a") as file:
            file.write(json.dumps({"t_us": 1767225600000000, "body": base64.b64encode(data).decode()}) + "\n")

    def rotated_log(self, data):
        with gzip.open(self.folder / "old.log.gz", "ab") as file:
            file.write(data + b"\n")

    def hex_dump(self, data):
        with (self.folder / "dump.txt").open("a") as file:
            file.writelines(f"{data[n : n + 16].hex(' ')}\n" for n in range(0, len(data), 16))


@pytest.mark.requirement("sec.no-card-number-anywhere")
@pytest.mark.parametrize("way", ["database", "log_line", "trace", "rotated_log", "hex_dump"])
def test_a_backend_that_keeps_everything_is_caught_with_every_number(tmp_path, way):
    canaries = make_canaries("hoarder", cards=50, phones=40)
    hoarder = Hoarder(tmp_path, way)
    handler = logging.FileHandler(tmp_path / "run.log")
    hoarder.log.addHandler(handler)
    basket = Basket(canaries)

    async def plant():
        transport = httpx.ASGITransport(hoarder.app)
        async with httpx.AsyncClient(transport=transport, base_url="https://hoarder") as client:
            known = {"order": lambda: "o1", "title": lambda: {"name": "n"}}
            return await Planter("hoarder", DOCUMENT, client, keys=["k"], known=known).plant(basket)

    try:
        planted = asyncio.run(plant())
    finally:
        hoarder.log.removeHandler(handler)
        handler.close()
    assert (planted.failed, planted.closed, planted.refused) == ([], [], 0)
    assert basket.unused == []
    assert planted.taken >= len(canaries)
    scan = Scan(Finder(canaries))
    scan.folder(tmp_path)
    assert scan.report.verdict is Verdict.FAIL
    found = {finding.canary for finding in scan.report.findings}
    # A field of the title that is planted alone replaces the title of the example: all reach the service.
    assert found == set(canaries)


def test_a_service_that_is_away_is_told_and_not_called_clean():
    def away(request):
        raise httpx.ConnectError("refused")

    async def plant():
        async with httpx.AsyncClient(transport=httpx.MockTransport(away), base_url="https://x") as client:
            return await Planter("x", DOCUMENT, client, keys=["k"], known={}).plant(
                Basket(make_canaries("1", cards=3, phones=0))
            )

    planted = asyncio.run(plant())
    assert planted.taken == 0
    assert len(planted.failed) > 20
    assert planted.closed == ["GET /orders/{order}: no answer", "POST /orders/{order}: no answer"]
