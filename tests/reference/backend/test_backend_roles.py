"""Every operation against every kind of key: only the role it is for gets past the door."""

from __future__ import annotations

import httpx
import pytest
from sqlalchemy import text

from reference.backend.store.database import StoreUnavailableError
from scenarios.leaks.inputs import operations_of, plain_request

STATION_KEY, OTHER_STATION, ADMIN_KEY = "station-key-of-km01", "station-key-of-km02", "admin-key-for-tests"
FREE = {
    # Anyone: prices and stock are public, a log-in has no key yet, notices prove themselves, a browser comes back.
    "GET /healthz",
    "POST /v1/sessions",
    "POST /v1/stations/{station}/attendants/login",
    "GET /v1/stations/{station}",
    "GET /v1/stations/{station}/stock",
    "POST /v1/notify/fapiao",
    "POST /v1/notify/nuonuo",
    "POST /v1/notify/unionpay",
    "POST /v1/notify/wechatpay",
    "POST /v1/notify/wechatpay/contract",
    "GET /v1/return/unionpay",
    "POST /v1/return/unionpay",
}


TILL = {
    # What whoever works at a till may do, with a login of their own.
    "GET /v1/stations/{station}/sales",
    "POST /v1/stations/{station}/sales/{sale_id}/settle",
    "POST /v1/stations/{station}/sales/{sale_id}/return",
    "GET /v1/stations/{station}/orders/{order_id}",
    "POST /v1/stations/{station}/orders/{order_id}/cancel",
    "POST /v1/stations/{station}/sales/{sale_id}/pay-code",
    "GET /v1/stations/{station}/shifts",
    "GET /v1/stations/{station}/shifts/{shift}",
    "GET /v1/stations/{station}/days/{day}",
    "POST /v1/stations/{station}/shifts/handover",
    "POST /v1/stations/{station}/attendants/logout",
}


def role_of(operation) -> str:
    """Whose operation it is, by its path alone."""
    if operation.name in FREE:
        return "anyone"
    for start, role in (("/v1/admin/", "admin"), ("/v1/stations/{station}", "station")):
        if operation.path.startswith(start):
            return role
    return "phone"


async def enrol(w, attendant, role="attendant", status=200, **changes):
    body = {"name": "王师傅", "code": f"card-of-{attendant:0>16}", "role": role, "active": True, **changes}
    path = f"/v1/admin/stations/KM01/attendants/{attendant}"
    return await w.call("PUT", path, body, key=ADMIN_KEY, status=status)


async def log_in(w, attendant, *points, status=200):
    body = {"code": f"card-of-{attendant:0>16}", "fuelling_points": list(points)}
    return await w.call("POST", "/v1/stations/KM01/attendants/login", body, status=status)


@pytest.mark.requirement("sec.roles-are-separated")
def test_no_role_gets_into_what_is_anothers(play_sqlite):
    async def scene(w):
        await w.declare()
        await enrol(w, "A1")
        await enrol(w, "M1", "manager")
        await w.phone("GET", "/none")
        keys = {
            "nobody": None,
            "phone": w.tokens["zhang-real"],
            "station": STATION_KEY,
            "another station": OTHER_STATION,
            "admin": ADMIN_KEY,
            "attendant": (await log_in(w, "A1"))["token"],
            "manager": (await log_in(w, "M1"))["token"],
            "nonsense": "x" * 40,
            "empty": "",
        }
        known = {"station": lambda: "KM01", "wait_ms": lambda: 0}
        transport = httpx.ASGITransport(w.backends[0].app)
        tried = 0
        async with httpx.AsyncClient(transport=transport, base_url="https://backend.station") as client:
            for operation in operations_of(w.backends[0].app.openapi()):
                wanted = role_of(operation)
                draft = plain_request(operation, known)
                for role, key in keys.items():
                    if wanted == "anyone" or role == wanted:
                        continue
                    if role in {"attendant", "manager"} and operation.name in TILL:
                        continue
                    headers = {"Content-Type": "application/json"}
                    if key is not None:
                        headers["Authorization"] = f"Bearer {key}"
                    reply = await client.request(
                        operation.method, draft.target, content=draft.content, headers=headers
                    )
                    tried += 1
                    # 422: a body that is not even looked at for other keys would be the same for its own.
                    assert reply.status_code in {401, 422}, (operation.name, role, reply.text)
                    if reply.status_code == 422:
                        own = {"Authorization": f"Bearer {keys[wanted]}", "Content-Type": "application/json"}
                        same = await client.request(
                            operation.method, draft.target, content=draft.content, headers=own
                        )
                        assert same.status_code == 422, operation.name
        assert tried > 400
        # Nothing of it had an effect.
        for table in ("refunds", "ledger", "sales"):
            assert (await w.admin(table))["rows"] == []

    play_sqlite(scene)


def test_the_document_says_for_each_operation_that_a_key_is_needed(play_sqlite):
    async def scene(w):
        document = w.backends[0].app.openapi()
        for operation in operations_of(document):
            told = document["paths"][operation.path][operation.method.lower()]
            assert bool(told["security"]) == (role_of(operation) != "anyone"), operation.name

    play_sqlite(scene)


@pytest.mark.requirement("sec.roles-are-separated")
def test_an_attendant_takes_money_and_nothing_else(play):
    """The matrix by what it is about: refund, void, price, correction, handing in sales."""

    async def scene(w):
        await w.declare()
        await enrol(w, "A1")
        await enrol(w, "M1", "manager")
        attendant, manager = (await log_in(w, "A1"))["token"], (await log_in(w, "M1"))["token"]
        first, second = [await w.site("POST", "/sales", w.sale(n), status=201) for n in (1, 2)]
        paid = await w.paid_order(3)
        place = "/v1/stations/KM01"
        token = {"client_token": "t-1"}
        setup = await w.call("GET", place)
        declared = {
            "name": setup["name"],
            "taxpayer_id": None,
            "lift_policy": "authorise_on_lift",
            "nozzles": [
                {name: n[name] for name in ("nozzle", "fuelling_point", "grade", "tank")}
                | {"price_fen_per_l": 1}
                for n in setup["nozzles"]
            ],
        }
        refund = {"client_token": "r-1", "amount_fen": 100, "reason": "x", "operator": "A1"}
        denied = [
            ("POST", f"/v1/admin/orders/{paid['order_id']}/refunds", refund, 401),
            (
                "POST",
                "/v1/admin/corrections",
                {"corrects": 1, "volume_ml": 0, "amount_fen": 1, "reason": "x"},
                401,
            ),
            ("POST", f"{place}/sales/{first['sale_id']}/return", token, 403),
            ("PUT", place, declared, 401),
            ("POST", f"{place}/sales", w.sale(4), 401),
            (
                "PUT",
                "/v1/admin/stations/KM01/attendants/A1",
                {"name": "x", "code": "c" * 20, "role": "manager"},
                401,
            ),
        ]
        for method, path, body, status in denied:
            await w.call(method, path, body, key=attendant, status=status)
        for method, path, body, status in denied:
            await w.call(method, path, body, key=manager, status=200 if status == 403 else status)
        assert {n["price_fen_per_l"] for n in (await w.call("GET", place))["nozzles"]} == {781}
        settle = {**token, "tender": "cash", "amount_fen": 9600}
        await w.call("POST", f"{place}/sales/{second['sale_id']}/settle", settle, key=attendant, status=200)
        assert (await w.admin("refunds"))["rows"] == []
        (money,) = [e for e in (await w.admin("ledger"))["rows"] if e["kind"] == "settlement"]
        assert '"by":"A1"' in money["content"], "who took it"
        assert await w.violations() == []

    play(scene)


@pytest.mark.requirement("sec.roles-are-separated")
def test_every_privileged_act_is_on_record_and_nobody_changes_the_record(play):
    async def scene(w):
        await w.declare()
        await enrol(w, "M1", "manager")
        manager = (await log_in(w, "M1"))["token"]
        sale = await w.site("POST", "/sales", w.sale(1), status=201)
        back = f"/v1/stations/KM01/sales/{sale['sale_id']}/return"
        for _ in range(2):
            await w.call("POST", back, {"client_token": "t-1"}, key=manager, status=200)
        correction = {"corrects": 999, "volume_ml": 0, "amount_fen": 1, "reason": "x"}
        who = {"Authorization": f"Bearer {ADMIN_KEY}", "X-Operator": "li.si"}
        answer = await w.clients[0].post("/v1/admin/corrections", json=correction, headers=who)
        assert answer.status_code == 404
        await w.call("POST", "/v1/admin/corrections", correction, key="wrong", status=401)
        odd = await w.clients[0].post("/v1/admin/sales/a%00b/release", json={"reason": "x"}, headers=who)
        assert odd.status_code == 422, "on record, though no store takes a NUL"
        cheaper = [
            {"nozzle": n, "fuelling_point": 1, "grade": "92", "price_fen_per_l": 781 - (n == 2), "tank": 1}
            for n in (1, 2)
        ]
        setup = {"name": "s", "taxpayer_id": None, "lift_policy": "authorise_on_lift", "nozzles": cheaper}
        for _ in range(2):
            await w.site("PUT", "", setup, status=200)
        rows = (await w.admin("acts"))["rows"]
        enrolled = ("operator", "operator", "PUT", "/v1/admin/stations/KM01/attendants/M1")
        corrected = ("operator", "li.si", "POST", "/v1/admin/corrections")
        assert [(r["role"], r["who"], r["action"], r["subject"], r["status"]) for r in rows] == [
            (*enrolled, 0),
            (*enrolled, 200),
            ("manager", "M1", "return", sale["sale_id"], 200),
            (*corrected, 0),
            (*corrected, 404),
            ("operator", "li.si", "POST", "/v1/admin/sales/a?b/release", 0),
            ("operator", "li.si", "POST", "/v1/admin/sales/a?b/release", 422),
            ("station", "", "prices", "2: 781 to 780", 200),
        ]
        for attempt in ("UPDATE acts SET who = 'x'", "DELETE FROM acts"):
            with pytest.raises(Exception, match="append-only"):
                await w.database.run(lambda tx, words=attempt: tx.execute(text(words)))
        assert (await w.admin("acts"))["rows"] == rows

    play(scene)


@pytest.mark.requirement("sec.roles-are-separated")
def test_an_act_is_on_record_whatever_headers_follow_the_ones_that_count(play_sqlite):
    async def scene(w):
        correction = {"corrects": 999, "volume_ml": 0, "amount_fen": 1, "reason": "x"}
        headers = [
            ("Authorization", f"Bearer {ADMIN_KEY}"),
            ("X-Operator", "li.si"),
            ("Authorization", "Bearer wrong"),
            ("X-Operator", "zhang.san"),
        ]
        answer = await w.clients[0].post("/v1/admin/corrections", json=correction, headers=headers)
        assert answer.status_code == 404, "the routes take the first key, so this was let in"
        rows = (await w.admin("acts"))["rows"]
        assert [(row["who"], row["status"]) for row in rows] == [("li.si", 0), ("li.si", 404)]
        answer = await w.clients[0].post("/v1/admin/corrections", json=correction, headers=headers[::-1])
        assert answer.status_code == 401
        assert (await w.admin("acts"))["rows"] == rows

    play_sqlite(scene)


@pytest.mark.requirement("sec.roles-are-separated")
def test_a_change_of_many_prices_is_on_record_whole(play):
    async def scene(w):
        def setup(price):
            head = {"name": "昆明一号站", "taxpayer_id": None, "lift_policy": "authorise_on_lift"}
            one = {"fuelling_point": 1, "grade": "92", "price_fen_per_l": price, "tank": 1}
            return {**head, "nozzles": [{"nozzle": n, **one} for n in range(1, 65)]}

        await w.site("PUT", "", setup(781), status=200)
        await w.site("PUT", "", setup(780), status=200)
        told = [row["subject"] for row in (await w.admin("acts"))["rows"] if row["action"] == "prices"]
        assert all(len(words) <= 200 for words in told)
        assert ", ".join(told) == ", ".join(f"{n}: 781 to 780" for n in range(1, 65))

    play(scene)


@pytest.mark.requirement("sec.roles-are-separated")
def test_an_act_that_cannot_be_put_on_record_is_not_done(play_sqlite, monkeypatch):
    async def scene(w):
        await w.declare()

        async def away(*_: object, **__: object) -> None:
            raise StoreUnavailableError("no store")

        monkeypatch.setattr("reference.backend.attendants.acts.note_act", away)
        assert (await enrol(w, "A1", status=503))["code"] == "store_unavailable"
        monkeypatch.undo()
        listed = await w.call("GET", "/v1/admin/stations/KM01/attendants", key=ADMIN_KEY, status=200)
        assert listed == {"attendants": []}

    play_sqlite(scene)


@pytest.mark.requirement("shift.sale-has-an-attendant")
def test_each_sale_is_whose_card_was_shown_at_its_pump(play):
    async def scene(w):
        await w.declare()
        for name in ("A1", "A2"):
            await enrol(w, name)

        async def sold(nozzle, **changes):
            w.now_us += 60_000_000
            return (await w.site("POST", "/sales", w.sale(nozzle, **changes), status=201))["sale_id"]

        whose = {await sold(1): None}
        w.now_us += 1
        nozzles = [{"nozzle": 1, "grade": "92", "tank": 1, "sequence": 1, "volume_ml": 1, "amount_fen": 1}]
        hand = {
            "number": 1,
            "at_us": w.now_us,
            "attendant": "王师傅",
            "cash_counted_fen": None,
            "nozzles": nozzles,
        }
        await w.site("POST", "/shifts", hand, status=201)
        whose[await sold(1)] = "王师傅"  # nobody logged in: whoever has the shift
        await log_in(w, "A1", 1, 2)
        before_us = w.now_us
        whose[await sold(1)] = "A1"
        whose[await sold(3)] = "A1"
        whose[await sold(5)] = "王师傅"  # another island
        w.now_us += 1
        await log_in(w, "A2", 2)
        whose[await sold(3)] = "A2"  # the switch
        whose[await sold(1)] = "A1"
        whose[await sold(3, ended_us=before_us + 1)] = "A1"  # ended before the switch, heard of after it
        card = await log_in(w, "A1")
        w.now_us += 1
        path = "/v1/stations/KM01/attendants/logout"
        await w.call("POST", path, key=card["token"], status=204)
        await w.call("POST", path, key=card["token"], status=401)
        whose[await sold(1)] = "王师傅"
        listed = (await w.site("GET", "/sales", status=200))["sales"]
        assert {sale["sale_id"]: sale["attendant"] for sale in listed} == whose
        w.now_us += 1
        last = [n | {"sequence": 99} for n in nozzles]
        await w.site("POST", "/shifts", {**hand, "number": 2, "at_us": w.now_us, "nozzles": last}, status=201)
        report = await w.site("GET", "/shifts/1", status=200)
        counts = {row["attendant"]: (row["sales"], row["amount_fen"]) for row in report["attendants"]}
        assert counts == {"A1": (4, 4 * 9600), "A2": (1, 9600), "王师傅": (3, 3 * 9600)}
        assert await w.violations() == []

    play(scene)


@pytest.mark.requirement("shift.sale-has-an-attendant")
def test_a_duty_ends_with_the_login_the_card_or_the_service_and_takes_nobody_else_off(play):
    async def scene(w):
        await w.declare()
        for name in ("A1", "A2"):
            await enrol(w, name)
        path = "/v1/stations/KM01/attendants/logout"

        async def seller(nozzle=1):
            w.now_us += 60_000_000
            sale_id = (await w.site("POST", "/sales", w.sale(nozzle), status=201))["sale_id"]
            listed = (await w.site("GET", "/sales", status=200))["sales"]
            return next(sale["attendant"] for sale in listed if sale["sale_id"] == sale_id)

        # Out of service, and back: a new login is needed.
        await log_in(w, "A1", 1)
        assert await seller() == "A1"
        await enrol(w, "A1", name="张师傅")
        assert await seller() == "A1", "another name ends nothing"
        await enrol(w, "A1", active=False)
        assert await seller() is None
        await enrol(w, "A1")
        # A lost card.
        await log_in(w, "A1", 0)
        assert await seller() == "A1"
        await enrol(w, "A1", code="another-card-of-A1")
        assert await seller() is None
        await enrol(w, "A1")
        # Nobody works for so long.
        await log_in(w, "A1", 1)
        w.now_us += 16 * 3_600_000_000
        assert await seller() is None
        # She has all pumps, another comes to one of them, and she goes.
        card = await log_in(w, "A1", 0)
        w.now_us += 1
        other = await log_in(w, "A2", 1)
        assert (await seller(1), await seller(5)) == ("A2", "A1")
        await w.call("POST", path, key=card["token"], status=204)
        assert (await seller(1), await seller(5)) == ("A2", None)
        # And the other way round: who has all pumps keeps them when the one before goes.
        w.now_us += 1
        await log_in(w, "A1", 0)
        w.now_us += 1
        await w.call("POST", path, key=other["token"], status=204)
        assert (await seller(1), await seller(5)) == ("A1", "A1")

    play(scene)


def test_cards_that_do_not_open(play_sqlite):
    async def scene(w):
        await w.declare()
        await enrol(w, "A1")
        await log_in(w, "A2", status=401)
        token = (await log_in(w, "A1"))["token"]
        sales = "/v1/stations/KM01/sales"
        await w.call("GET", sales, key=token, status=200)
        await w.call("GET", "/v1/stations/KM02/sales", key=token, status=401)
        assert (await enrol(w, "A2", code=f"card-of-{'A1':0>16}", status=409))["code"] == "code_taken"
        await enrol(w, "A1", code="another-card-of-A1")
        await w.call("GET", sales, key=token, status=401)  # the lost card's login ends with it
        await log_in(w, "A1", status=401)
        again = {"code": "another-card-of-A1", "fuelling_points": []}
        token = (await w.call("POST", "/v1/stations/KM01/attendants/login", again, status=200))["token"]
        w.now_us += 17 * 3_600_000_000
        await w.call("GET", sales, key=token, status=401)
        await enrol(w, "A1", code="another-card-of-A1", active=False)
        await w.call("POST", "/v1/stations/KM01/attendants/login", again, status=401)
        for wrong in ({"code": "short"}, {"code": "x" * 65}, {}, {**again, "fuelling_points": [-1]}):
            await w.call("POST", "/v1/stations/KM01/attendants/login", wrong, status=422)

    play_sqlite(scene)
