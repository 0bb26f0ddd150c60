"""The OpenAPI document is true: what it allows never makes the service fail, on either store."""

from __future__ import annotations

import asyncio
import json
import warnings
from collections import defaultdict

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reference.backend.__main__ import _openapi

schemathesis = pytest.importorskip("schemathesis", reason="pip install schemathesis")

KEYS = {"site": "station-key-of-km01", "admin": "admin-key-for-tests"}


def test_the_document_has_every_route_of_the_contract():
    paths = json.loads(_openapi())["paths"]
    wanted = """
    post /v1/sessions; put /v1/stations/{station}; get /v1/stations/{station}; post /v1/stations/{station}/nozzles/live;
    post /v1/stations/{station}/sales; get /v1/stations/{station}/sales; get /v1/stations/{station}/commands;
    post /v1/stations/{station}/commands/{number}/result; post /v1/stations/{station}/sales/{sale_id}/settle;
    post /v1/orders; get /v1/orders/{order_id}; get /v1/orders/{order_id}/events; post /v1/orders/{order_id}/pay;
    post /v1/orders/{order_id}/cancel; post /v1/orders/{order_id}/client-result; post /v1/orders/{order_id}/invoice;
    get /v1/orders/{order_id}/invoice; delete /v1/orders/{order_id}/invoice; post /v1/orders/{order_id}/invoice/correction;
    post /v1/orders/{order_id}/invoice/deliveries; post /v1/invoices; post /v1/admin/invoices/{apply_id}/reversal;
    post /v1/admin/red-letters/{red_id}/revocation; get /v1/admin/red-letters; get /v1/admin/invoice-uses;
    get /v1/admin/invoice-deliveries; get /v1/admin/tax-holds; post /v1/notify/nuonuo;
    post /v1/notify/wechatpay; post /v1/notify/fapiao; get /v1/admin/ledger; get /v1/admin/orders;
    get /v1/admin/invoices; get /v1/admin/payments; get /healthz
    """
    for line in wanted.replace("\n", " ").split(";"):
        method, path = line.split()
        assert method in paths[path], line


def _operations(document):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        schema = schemathesis.openapi.from_dict(document)
    found = [result.ok() for result in schema.get_all_operations()]
    return sorted(found, key=lambda operation: (operation.path, operation.method))


def _drawn(operation, examples):
    cases = []

    @settings(
        max_examples=examples,
        database=None,
        derandomize=True,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(), real=st.booleans())
    def draw(case, real):
        cases.append((operation, case, real))

    draw()
    return cases


@pytest.mark.parametrize(
    ("store", "examples"),
    [
        ("play_sqlite", 5),
        pytest.param("play_sqlite", 40, marks=[pytest.mark.slow, pytest.mark.timeout(900)]),
        pytest.param("play_postgres", 12, marks=[pytest.mark.slow, pytest.mark.timeout(900)]),
    ],
)
def test_nothing_that_the_document_allows_makes_the_service_fail(store, examples, request):
    play = request.getfixturevalue(store)

    async def scene(w):
        order = await w.order()
        taken = await w.site("POST", "/sales", w.sale(nozzle=2), status=201)
        known = {"station": "KM01", "order_id": order["order_id"], "sale_id": taken["sale_id"], "number": 1}
        operations = _operations(w.backends[0].app.openapi())
        # Generation is synchronous: first draw all cases, then send them.
        cases = []
        for operation in operations:
            if operation.path.endswith("/events"):
                continue  # a stream has no end of its own

            cases += await asyncio.to_thread(_drawn, operation, examples)
        sent = 0
        token = w.tokens["zhang-real"]
        for operation, case, real in cases:
            values = {
                **(case.path_parameters or {}),
                **({name: known[name] for name in known} if real else {}),
            }
            path = operation.path
            for name, value in values.items():
                path = path.replace(
                    f"{{{name}}}", str(httpx.URL(path="/" + str(value)).raw_path.decode()[1:])
                )
            tag = "site" if "/stations/" in path else "admin" if "/admin/" in path else "phone"
            headers = {"Authorization": f"Bearer {KEYS.get(tag, token)}"}
            query = {key: value for key, value in (case.query or {}).items() if key != "wait_ms"}
            body = case.body if type(case.body).__name__ != "NotSet" else None
            response = await w.clients[0].request(
                operation.method.upper(), path, params=query, json=body, headers=headers
            )
            sent += 1
            assert response.status_code < 500, (operation.label, values, query, body, response.text)
            documented = operation.definition.raw["responses"]
            assert str(response.status_code) in documented, (
                operation.label,
                response.status_code,
                response.text,
            )
        assert sent > 150
        assert await w.violations() == []

    play(scene)


def test_a_body_that_is_not_even_text_is_refused_as_the_document_says(play_sqlite):
    async def scene(w):
        await w.order()  # somebody is logged in
        document = w.backends[0].app.openapi()
        for path, methods in sorted(document["paths"].items()):
            for method, operation in sorted(methods.items()):
                if "requestBody" not in operation:
                    continue
                tag = "site" if "/stations/" in path else "admin" if "/admin/" in path else "phone"
                key = KEYS.get(tag, w.tokens["zhang-real"])
                response = await w.clients[0].request(
                    method.upper(),
                    path.format_map(
                        defaultdict(lambda: "x", station="KM01", number=1, apply_id="FC1", red_id="R1")
                    ),
                    content=b"\xff\xfe{",
                    headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
                )
                assert str(response.status_code) in operation["responses"], (path, response.text)
                assert 400 <= response.status_code < 500
                assert set(response.json()) == {"code", "message", "field"}, path

    play_sqlite(scene)


def test_the_document_says_which_operations_want_no_key_and_where_the_service_is():
    document = json.loads(_openapi())
    free = {
        f"{method} {path}"
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if operation["security"] == []
    }
    assert {"post /v1/sessions", "get /healthz", "post /v1/notify/wechatpay"} <= free
    assert not any(" /v1/admin/" in operation or " /v1/orders" in operation for operation in free)
    assert document["servers"] == [{"url": "/"}]


def test_what_is_refused_is_told_as_http_asks_for_it(play_sqlite):
    async def scene(w):
        for method, path, allowed in (
            ("OPTIONS", "/v1/me/contract", "DELETE, GET, POST"),
            ("PATCH", "/v1/stations/KM01", "GET, PUT"),
            ("POST", "/healthz", "GET"),
        ):
            reply = await w.clients[0].request(method, path)
            assert (reply.status_code, reply.headers["allow"]) == (405, allowed), path
            assert reply.json()["code"] == "method_not_allowed"
        reply = await w.clients[0].get("/v1/me")
        assert (reply.status_code, reply.headers["www-authenticate"]) == (401, "Bearer")
        assert (await w.clients[0].post("/v1/notify/nuonuo")).status_code == 422

    play_sqlite(scene)


def test_no_body_may_be_larger_than_the_settings_say_however_it_comes(play_sqlite):
    async def pieces(number):
        for _ in range(number):
            yield b" " * 65_536

    async def scene(w):
        await w.order()
        phone = {"Authorization": f"Bearer {w.tokens['zhang-real']}"}
        station = {"Authorization": f"Bearer {KEYS['site']}"}
        for path, headers in (
            ("/v1/sessions", {}),
            ("/v1/orders", phone),
            ("/v1/stations/KM01/sales", station),
            ("/v1/stations/KM01/nozzles/live", station),
            ("/v1/notify/wechatpay", {}),
        ):
            for content in (b" " * 300_000, pieces(5)):
                reply = await w.clients[0].post(path, content=content, headers=headers)
                assert (reply.status_code, reply.json()["code"]) == (413, "too_large"), path
            reply = await w.clients[0].post(path, content=pieces(3), headers=headers)
            assert reply.status_code in {401, 422}, path
        for operations in w.backends[0].app.openapi()["paths"].values():
            for operation in operations.values():
                assert "requestBody" not in operation or "413" in operation["responses"]

    play_sqlite(scene)
