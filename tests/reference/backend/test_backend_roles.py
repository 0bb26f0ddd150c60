"""Every operation against every kind of key: only the role it is for gets past the door."""

from __future__ import annotations

import httpx

from scenarios.leaks.inputs import operations_of, plain_request

STATION_KEY, OTHER_STATION, ADMIN_KEY = "station-key-of-km01", "station-key-of-km02", "admin-key-for-tests"
FREE = {
    # Anyone: prices and stock are public, a log-in has no key yet, notices prove themselves, a browser comes back.
    "GET /healthz",
    "POST /v1/sessions",
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


def role_of(operation) -> str:
    """Whose operation it is, by its path alone."""
    if operation.name in FREE:
        return "anyone"
    for start, role in (("/v1/admin/", "admin"), ("/v1/stations/{station}", "station")):
        if operation.path.startswith(start):
            return role
    return "phone"


def test_no_role_gets_into_what_is_anothers(play_sqlite):
    async def scene(w):
        await w.phone("GET", "/none")
        keys = {
            "nobody": None,
            "phone": w.tokens["zhang-real"],
            "station": STATION_KEY,
            "another station": OTHER_STATION,
            "admin": ADMIN_KEY,
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
        assert tried > 300
        # Nothing of it had an effect.
        for table in ("refunds", "ledger", "sales"):
            assert (await w.admin(table))["rows"] == []

    play_sqlite(scene)


def test_the_document_says_for_each_operation_that_a_key_is_needed(play_sqlite):
    async def scene(w):
        document = w.backends[0].app.openapi()
        for operation in operations_of(document):
            told = document["paths"][operation.path][operation.method.lower()]
            assert ("security" in told) == (role_of(operation) != "anyone"), operation.name

    play_sqlite(scene)
