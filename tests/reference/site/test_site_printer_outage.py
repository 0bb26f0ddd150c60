"""The receipt printer is dead for an hour while the station sells: every sale is kept, the queue is bounded, refusals are said."""

from __future__ import annotations

import pytest

from protocols.escpos import read_receipt
from sim.printer import CHINESE_80MM, Printer
from sim.wires import VirtualLink

from .site_world import World
from .spooler_rig import receipt

HOUR = 3600
LIMIT = 12


@pytest.fixture
def station():
    world = World(printer={"columns": 48, "queue_limit": LIMIT}, skip=True)
    world.printer = Printer(CHINESE_80MM)
    VirtualLink(
        world.kernel, "printer", world.site.printer, world.printer, latency_us=1_000, redial_us=2_000_000
    )

    def print_it(sale):
        wanted = receipt(
            sale.sequence, nozzle=sale.nozzle, volume_ml=sale.volume_ml, amount_fen=sale.amount_fen,
            paid_fen=sale.amount_fen, price_fen_per_l=sale.price_fen_per_l, ended_us=sale.ended_us, grade=sale.grade,
        )  # fmt: skip
        world.backend.command("print", receipt=wanted)

    world.site.on_sale.append(print_it)
    yield world
    world.close()


@pytest.mark.requirement("prn.queue-is-bounded-and-fuel-flows")
def test_sales_go_on_for_an_hour_without_a_printer(station):
    w = station
    w.at(60, lambda: w.printer.power_off(w.kernel.now_us))
    for k in range(18):
        w.fill(70 + 190 * k, point=k % 2, seconds=15)
    w.run(HOUR + 60)
    assert len(w.truth()) == 18
    assert w.ledger() == w.truth(), "each sale is in the backend, printer or not"
    assert len(w.site.receipts.printer) == LIMIT, "the queue is full and stays so"
    reasons = dict(w.backend.results)
    refused = [number for number in range(1, 19) if number in reasons]
    assert [reasons[number] for number in refused] == [{"ok": False, "reason": "printer queue is full"}] * 6
    assert refused == list(range(13, 19)), "the newest are refused; what was taken is kept"
    assert sum("queue is full" in alarm for alarm in w.site.alarms) == 1
    assert w.site.snapshot()["printer"]["problems"] == ["no answer"]
    assert w.printer.receipts == []

    w.printer.power_on(w.kernel.now_us)
    w.run(180)
    papers = [read_receipt(paper.text) for paper in w.printer.receipts]
    assert [(p.nozzle, p.volume_ml, p.amount_fen, p.reprint) for p in papers] == [
        (sale.nozzle, sale.volume_ml, sale.amount_fen, 0) for sale in w.site.journal.all_sales()[:LIMIT]
    ]
    assert [dict(w.backend.results)[number]["ok"] for number in range(1, LIMIT + 1)] == [True] * LIMIT
    assert w.site.receipts.journal.refusals() == 6
    # Whoever was refused may ask again.
    w.backend.command("print", receipt=receipt(999))
    w.run(10)
    assert read_receipt(w.printer.receipts[-1].text).sequence == 999


@pytest.mark.requirement("prn.queue-is-bounded-and-fuel-flows", "prn.status-read-before-printing")
def test_a_command_that_comes_again_to_a_full_queue_is_not_refused_for_what_was_taken(station):
    w = station
    w.at(1, lambda: w.printer.power_off(w.kernel.now_us))
    w.run(2)
    for number in range(1, LIMIT + 3):
        w.site.on_command({"id": number, "kind": "print", "receipt": receipt(number)})
    for number in range(1, LIMIT + 3):  # the uplink took up again from the start
        w.site.on_command({"id": number, "kind": "print", "receipt": receipt(number)})
    open_or_bad = {number: ok for number, ok, _, _ in w.site.journal.unposted_results()}
    assert open_or_bad == {LIMIT + 1: False, LIMIT + 2: False}
    assert len(w.site.receipts.printer) == LIMIT
    w.printer.power_on(w.kernel.now_us)
    w.run(180)
    for number in range(1, LIMIT + 3):
        w.site.on_command({"id": number, "kind": "print", "receipt": receipt(number)})
    w.run(30)
    assert len(w.printer.receipts) == LIMIT, "answered from the journal, not printed again"


@pytest.mark.requirement("prn.receipt-content-equals-ledger")
@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (None, "malformed: TypeError receipt is missing"),
        ({}, "malformed: ValueError receipt has no amount_fen"),
        (receipt(1, amount_fen="much"), "malformed: ValueError"),
        (receipt(1, paid_fen=20_000), "malformed: ValueError"),
        (receipt(1, nozzle=-1), "malformed: ValueError nozzle cannot be negative"),
    ],
)
def test_a_receipt_that_cannot_be_printed_is_refused_at_once(station, wanted, reason):
    w = station
    w.run(1)
    number = w.backend.command("print", receipt=wanted)
    w.run(5)
    answer = dict(w.backend.results)[number]
    assert not answer["ok"]
    assert answer["reason"].startswith(reason)
    assert w.printer.receipts == []


@pytest.mark.requirement("prn.receipt-content-equals-ledger")
def test_card_and_phone_are_masked_on_paper_and_in_the_journal(station):
    w = station
    w.run(1)
    w.backend.command("print", receipt=receipt(1, card="6225881234561234", phone="13812345678"))
    w.run(5)
    assert read_receipt(w.printer.receipts[0].text).card == "622588******1234"
    stored = repr(w.site.journal.rows("SELECT * FROM print_jobs"))
    assert "622588******1234" in stored
    assert "138****5678" in stored
    assert "6225881234561234" not in stored
    assert "13812345678" not in stored


def test_a_site_without_a_printer_says_so():
    w = World()
    w.run(1)
    number = w.backend.command("print", receipt=receipt(1))
    w.run(5)
    assert dict(w.backend.results)[number] == {"ok": False, "reason": "no printer"}
    w.close()


@pytest.mark.requirement("prn.near-end-warns")
def test_staff_see_the_near_end_in_alarms_and_on_the_status_page(station):
    w = station
    w.printer.load_paper(1_550, w.kernel.now_us)
    w.run(0.5)
    for number in range(1, 4):
        w.backend.command("print", receipt=receipt(number))
    w.run(20)
    assert w.site.alarms.count("receipt printer: the paper is nearly used up") == 1
    assert w.site.snapshot()["printer"]["near_end"] is True
