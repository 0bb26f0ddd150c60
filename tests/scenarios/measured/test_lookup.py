"""Acknowledged writes are looked up, and a planted loss is seen."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from scenarios.loadgen.payments import Write
from scenarios.measured.lookup import Books, BooksError, look_up, read_books
from scenarios.oracles import judge
from scenarios.record import FailoverTrial, RunRecord
from scenarios.verdicts import Verdict

WRITES = [
    Write("sale", "LOAD0001/3/7", 1, 1, 2, amount_fen=7600),
    Write("order", "ord_1", 3, 3, 4),
    Write("pay", "T1", 5, 5, 6),
    Write("paid", "ord_1", 7, 7, 7),
]
TRIAL = FailoverTrial(instance="backend-a", killed_us=0, first_acknowledged_us=10, in_flight=1)


def books(**changes):
    whole = {
        "ledger": [
            {"kind": "sale", "station": "LOAD0001", "nozzle": 3, "sequence": 7, "amount_fen": 7600, "order_id": None},
            {"kind": "payment", "station": "LOAD0001", "nozzle": None, "sequence": None, "amount_fen": 7600, "order_id": "ord_1"},
        ],
        "orders": [{"order_id": "ord_1", "paid_fen": 7600}],
        "payments": [{"out_trade_no": "T1"}],
        "invoices": [],
    }  # fmt: skip
    return Books(**{**whole, **changes})


def verdict(found):
    record = RunRecord(clock="wall", ended_us=10, failovers=(TRIAL,), writes=tuple(found))
    return judge(record, "failover.no-lost-write")


def test_all_is_found():
    found = look_up(WRITES, books(), epoch_us=1)
    assert [write.key for write in found] == ["sale LOAD0001/3/7", "order ord_1", "pay T1", "paid ord_1"]
    assert [write.acknowledged_us for write in found] == [1, 3, 5, 6]
    assert verdict(found).verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("changes", "lost"),
    [
        ({"ledger": books().ledger[1:]}, {"sale LOAD0001/3/7"}),
        ({"ledger": [{**books().ledger[0], "amount_fen": 7599}, books().ledger[1]]}, {"sale LOAD0001/3/7"}),
        ({"ledger": books().ledger[:1]}, {"paid ord_1"}),
        ({"orders": []}, {"order ord_1", "paid ord_1"}),
        ({"orders": [{"order_id": "ord_1", "paid_fen": 0}]}, {"paid ord_1"}),
        ({"payments": []}, {"pay T1"}),
    ],
)
def test_each_planted_loss_fails_the_oracle(changes, lost):
    found = look_up(WRITES, books(**changes))
    assert {write.key for write in found if not write.found} == lost
    result = verdict(found)
    assert result.verdict is Verdict.FAIL
    assert all(key in result.message for key in lost)


def test_an_admin_api_that_refuses_is_named(unused_tcp_port):
    with pytest.raises(BooksError, match="GET /v1/admin/ledger: ConnectError"):
        asyncio.run(read_books(f"http://127.0.0.1:{unused_tcp_port}", "some-admin-key"))


def test_all_pages_are_read(monkeypatch):
    seen = []

    def answer(request):
        after = int(request.url.params["after"])
        seen.append((request.url.path.rsplit("/", 1)[1], after))
        rows = [{"n": after + i} for i in range(2)]
        return httpx.Response(200, json={"rows": rows, "next": after + 2 if after < 4 else None})

    plain = httpx.AsyncClient
    monkeypatch.setattr(
        "scenarios.measured.lookup.httpx.AsyncClient",
        lambda **more: plain(**more, transport=httpx.MockTransport(answer)),
    )
    found = asyncio.run(read_books("http://backend", "some-admin-key"))
    assert [row["n"] for row in found.orders] == [0, 1, 2, 3, 4, 5]
    assert seen[:3] == [("ledger", 0), ("ledger", 2), ("ledger", 4)]


@pytest.fixture
def unused_tcp_port():
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
