"""WeChat's server sees orders of the payment platform's own books: those that are paid, and of its own merchants."""

from __future__ import annotations

import random

from sim.wechatpay import Ids, Ledger, MerchantAccount, Switches
from sim.wechatserver import orders_of

NOW_US = 1_790_000_000_000_000
MCHID, APPID, OPENID = "1900000109", "wx2421b1c4370ec43b", "o1"


def test_an_order_is_found_by_either_number_once_it_is_paid() -> None:
    ledger = Ledger(Ids(random.Random("orders")), Switches())
    account = MerchantAccount(MCHID, (APPID,), {}, "k" * 32)
    body = {
        "appid": APPID,
        "mchid": MCHID,
        "out_trade_no": "KM01-1",
        "notify_url": "https://shop.example/n",
        "amount": {"total": 20_000},
        "payer": {"openid": OPENID},
    }
    _, prepay_id = ledger.prepay(account, body, NOW_US)
    find, stranger = orders_of(ledger, (MCHID,)), orders_of(ledger, ("1900000110",))
    assert find(MCHID, "KM01-1", "") is None
    assert find(MCHID, "KM01-2", "") is None
    paid = ledger.pay(prepay_id, OPENID, NOW_US + 1)
    assert paid.transaction_id is not None
    found = find(MCHID, "KM01-1", "")
    assert found is not None
    assert found == find("", "", paid.transaction_id)
    assert (found.openid, found.paid_fen, found.success_us, found.is_refunded) == (
        OPENID,
        20_000,
        NOW_US + 1,
        False,
    )
    assert find("", "", "42") is None
    assert stranger(MCHID, "KM01-1", "") is None
    assert stranger("", "", paid.transaction_id) is None
