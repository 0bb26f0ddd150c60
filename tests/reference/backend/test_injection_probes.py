"""Probes of the usual lists against every input of every endpoint: injection, traversal, forged requests, other people's things.

The endpoints and their inputs come from the service's own OpenAPI document, so that a new one is probed from its first day.
Kinds after the OWASP Web Security Testing Guide (4.2): WSTG-INPV-01, -02, -05, -07, -11, -12, -15, -18, -19 and WSTG-ATHZ-01, -04.
"""

from __future__ import annotations

import contextlib
import json
from typing import Any

import httpx
import pytest

from scenarios.leaks.inputs import Draft, Operation, inputs_of, operations_of, plain_request

from .test_backend_roles import ADMIN_KEY, STATION_KEY, role_of

SEVEN = 8_675_309 * 7
PROBES = {
    "sql, always true": "x' OR '1'='1",
    "sql, comment": "1; DROP TABLE sales; --",
    "sql, union": "' UNION SELECT code_digest FROM attendants--",
    "sql, time": "1' AND 1=(SELECT randomblob(900000000))--",
    "command": "; cat /etc/passwd | id #",
    "traversal": "../../../../../../etc/passwd",
    "template": "{{8675309*7}}${8675309*7}<%= 8675309*7 %>",
    "markup": "<script>alert(8675309)</script>",
    "header": "x\r\nSet-Cookie: probe=1\r\n\r\n<html>",
    "entity": '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
    "own host": "http://169.254.169.254/latest/meta-data/",
    "other host": "https://probe.invalid/8675309",
    "format": "%s%s%s%n{0.__class__.__mro__}",
    "null byte": "a\x00b",
    "long": "9" * 20_000,
    "printer": "\x1b@\x1dV\x00",
    "not unicode": "\ud800\udfff",
}
NEVER = (
    str(SEVEN),
    "root:x:",
    "Traceback",
    "sqlalchemy",
    "sqlite3.",
    "asyncpg",
    "syntax error",
    "/site-packages/",
)
HOSTS = {"api.weixin.qq.com", "api.mch.weixin.qq.com"}
TABLES = ("ledger", "sales", "payments", "refunds", "invoices", "shift-entries", "acts")


class Prober:
    """Sends drafts with the right key and looks at what comes back."""

    def __init__(self, w: Any, phone_key: str) -> None:
        self.w = w
        self.keys = {"anyone": None, "admin": ADMIN_KEY, "station": STATION_KEY, "phone": phone_key}
        self.called: set[str] = set()
        self.sent = 0
        for backend in w.backends:
            handler = backend._transport.handler

            def noting(request: httpx.Request, inner: Any = handler) -> Any:
                self.called.add(request.url.host)
                return inner(request)

            backend._transport.handler = noting

    async def send(self, draft: Draft, *, key: str | None = None) -> httpx.Response | None:
        operation = draft.operation
        own = self.keys[role_of(operation)]
        headers = {"Content-Type": "application/json"}
        if key or own:
            headers["Authorization"] = f"Bearer {key or own}"
        try:
            named = {name: value.encode() for name, value in (headers | draft.headers).items()}
            content = draft.content
            request = self.w.clients[0].build_request(
                operation.method, draft.target, content=content, headers=named
            )
        except (UnicodeEncodeError, httpx.InvalidURL):
            return None  # it cannot be written on a wire
        self.sent += 1
        return await self.w.clients[0].send(request)


def looked_at(where: str, response: httpx.Response) -> list[str]:
    """What is wrong with an answer."""
    found = []
    if response.status_code >= 500 and response.status_code != 503:
        found.append(f"{where}: {response.status_code}")
    text = response.text
    found += [f"{where}: the answer holds {word!r}" for word in NEVER if word in text]
    kind = response.headers.get("content-type", "application/json")
    if "html" in kind and "8675309" in text:  # one page is for browsers that come back from a cashier's
        found.append(f"{where}: a page shows what it was sent")
    if any("probe=1" in value for value in response.headers.values()):
        found.append(f"{where}: a header was set")
    return found


async def stand(w: Any) -> dict[str, Any]:
    """A station with something of everything, and what its things are called."""
    await w.declare()
    order = await w.paid_order(1, invoice={"title_type": "INDIVIDUAL", "name": "张三", "taxpayer_id": None})
    sale = await w.site("POST", "/sales", w.sale(2), status=201)
    await w.call(
        "PUT",
        "/v1/admin/stations/KM01/attendants/A1",
        {"name": "王", "code": "card-of-attendant-1"},
        key=ADMIN_KEY,
        status=200,
    )
    return {
        "station": "KM01",
        "order_id": order["order_id"],
        "sale_id": sale["sale_id"],
        "wait_ms": 0,
        "number": 1,
    }


async def books(w: Any) -> str:
    return json.dumps(
        {name: (await w.admin(name))["rows"] for name in TABLES if name != "acts"}, sort_keys=True
    )


def streams(operation: Operation) -> bool:
    return operation.is_stream or operation.path.endswith("/events")


async def probed(w: Any, most: int) -> None:
    told = await stand(w)
    prober = Prober(w, w.tokens["zhang-real"])
    known = {name: (lambda value=value: value) for name, value in told.items()}
    found: list[str] = []
    names = sorted(PROBES)
    turn = 0
    operations = operations_of(w.backends[0].app.openapi())
    for operation in operations:
        if streams(operation):
            continue
        for place in inputs_of(operation, known):
            if place.is_count:
                continue
            for step in range(most):
                name = names[(turn + step) % len(names)]
                draft = None
                with contextlib.suppress(UnicodeEncodeError):
                    draft = place.planted(PROBES[name])
                    response = await prober.send(draft)
                    if response is not None:
                        found += looked_at(f"{place.name} ({name})", response)
            turn += most
    assert found == []
    assert prober.called <= HOSTS, "nobody made it call somewhere else"
    assert prober.sent > 3 * len(operations)
    # All tables are where they were, and the books are in order.
    assert {row["sale_id"] for row in (await w.admin("sales"))["rows"]} >= {told["sale_id"]}
    assert (await w.call("GET", "/v1/admin/stations/KM01/attendants", key=ADMIN_KEY))["attendants"]
    assert await w.violations() == []


@pytest.mark.requirement("sec.injection-probes-fail")
@pytest.mark.timeout(120)
def test_every_input_takes_its_turn_with_every_kind_of_probe(play_sqlite):
    play_sqlite(lambda w: probed(w, 2))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.requirement("sec.injection-probes-fail")
def test_every_input_with_every_probe(play):
    play(lambda w: probed(w, len(PROBES)))


@pytest.mark.requirement("sec.injection-probes-fail")
def test_a_condition_that_is_true_and_one_that_is_false_are_answered_alike(play):
    """Blind injection: if a quote got into a statement, the two would differ."""

    async def scene(w):
        told = await stand(w)
        prober = Prober(w, w.tokens["zhang-real"])
        known = {name: (lambda value=value: value) for name, value in told.items()}
        before = await books(w)
        compared = 0
        for operation in operations_of(w.backends[0].app.openapi()):
            if streams(operation) or not operation.parameters:
                continue
            plain = plain_request(operation, known)
            for part, name in [*(("places", n) for n in plain.places), *(("query", n) for n in plain.query)]:
                values = getattr(plain, part)
                answers = []
                for condition in ("1'='1", "1'='2"):
                    changed = {**values, name: f"{values[name]}' AND '{condition}"}
                    draft = Draft(
                        operation,
                        changed if part == "places" else plain.places,
                        changed if part == "query" else plain.query,
                        plain.headers,
                        plain.body,
                    )
                    response = await prober.send(draft)
                    assert response is not None
                    answers.append(response.status_code)
                compared += 1
                assert answers[0] == answers[1] >= 400, (operation.name, name, answers)
        assert compared > 50
        assert await books(w) == before

    play(scene)


@pytest.mark.requirement("sec.injection-probes-fail")
def test_other_peoples_things_are_not_there(play):
    """Each operation on an order, with somebody else's log-in: the answer is that of an order that does not exist."""

    async def scene(w):
        told = await stand(w)
        await w.phone("GET", "/none", who="li")
        prober = Prober(w, w.tokens["zhang-real"])
        before, mine = await books(w), await w.show({"order_id": told["order_id"]})
        tried = 0
        for operation in operations_of(w.backends[0].app.openapi()):
            if streams(operation) or role_of(operation) != "phone" or "{order_id}" not in operation.path:
                continue
            answers = []
            for order_id in (told["order_id"], "ord_00000000000000000000"):
                known = {
                    name: (lambda value=value: value)
                    for name, value in {**told, "order_id": order_id}.items()
                }
                response = await prober.send(plain_request(operation, known), key=w.tokens["li-real"])
                assert response is not None
                answers.append((response.status_code, response.text.replace(order_id, "-")))
            assert answers[0] == answers[1], operation.name
            assert answers[0][0] in {404, 422}, (operation.name, answers[0])
            tried += answers[0][0] == 404
        assert tried >= 8
        assert await w.show({"order_id": told["order_id"]}) == mine
        assert await books(w) == before

    play(scene)


@pytest.mark.requirement("sec.injection-probes-fail")
def test_another_stations_things_are_not_there_either(play_sqlite):
    async def scene(w):
        told = await stand(w)
        await w.call("PUT", "/v1/stations/KM02", {
            "name": "s", "taxpayer_id": None, "lift_policy": "authorise",
            "nozzles": [{"nozzle": 1, "fuelling_point": 1, "grade": "92", "price_fen_per_l": 781}],
        }, key="station-key-of-km02", status=200)  # fmt: skip
        prober = Prober(w, w.tokens["zhang-real"])
        before = await books(w)
        tried = []
        for operation in operations_of(w.backends[0].app.openapi()):
            if role_of(operation) != "station" or not {"{sale_id}", "{order_id}"} & set(
                operation.path.split("/")
            ):
                continue
            known = {name: (lambda value=value: value) for name, value in {**told, "station": "KM02"}.items()}
            response = await prober.send(plain_request(operation, known), key="station-key-of-km02")
            assert response is not None
            assert response.status_code in {404, 422}, (operation.name, response.text)
            tried.append(response.status_code)
        assert tried.count(404) >= 4
        assert await books(w) == before

    play_sqlite(scene)
