"""Words for those who ask for refunds."""

from __future__ import annotations

import json

from sqlalchemy import select

from reference.backend.store.schema import metadata

ADMIN_KEY = "admin-key-for-tests"
CARD = "6222021234567890128"
MERCHANTS = {"client_token": "s1", "operator": "王站长", "reason": "card is void", "to": "MERCHANT_BANK_CARD"}
CASH = {"client_token": "c1", "operator": "王站长", "reason": "paid out at the till"}
TITLE = {"title_type": "INDIVIDUAL", "name": "张三", "taxpayer_id": None}


def body(amount_fen, token="t1"):
    return {
        "client_token": token,
        "amount_fen": amount_fen,
        "operator": "王站长",
        "reason": "meter stuck",
    }


async def ask(w, order, amount_fen, token="t1", *, status=201, on=0):
    path = f"/v1/admin/orders/{order['order_id']}/refunds"
    return await w.call("POST", path, body(amount_fen, token), key=ADMIN_KEY, status=status, on=on)


async def prepaid(w, amount_fen=10_000, **changes):
    """A prepaid order whose nozzle is authorised."""
    order = await w.order(mode="prepay", preset_fen=amount_fen, **changes)
    asked = await w.pay(order)
    w.gateway.pay(asked["out_trade_no"])
    await w.notify(asked["out_trade_no"])
    await w.answer_command("authorise")
    return order


async def alarms(w):
    return [alarm["kind"] for alarm in (await w.admin("alarms"))["rows"]]


def sent(w):
    return [key for name, key in w.gateway.calls if name == "refund"]


async def everything(tx):
    """All that is stored, as one text."""
    return json.dumps(
        [[str(row) for row in await tx.rows(select(table))] for table in metadata.sorted_tables]
    )
