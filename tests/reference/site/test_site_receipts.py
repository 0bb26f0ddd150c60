from __future__ import annotations

import random

import pytest

from reference.site.receipts.text import receipt_content

from .spooler_rig import Desk, receipt


@pytest.fixture
def desk():
    it = Desk()
    yield it
    it.journal.close()


@pytest.mark.requirement("prn.receipt-content-equals-ledger")
def test_receipts_come_out_in_order_with_the_figures_of_the_sale(desk):
    for sequence in (1, 2, 3):
        assert desk.add(sequence)
    desk.run(60)
    papers = desk.papers()
    assert [(p.sequence, p.reprint) for p in papers] == [(1, 0), (2, 0), (3, 0)]
    first = papers[0]
    assert (first.station, first.nozzle, first.grade, first.volume_ml) == ("KM01", 3, "95", 20_000)
    assert (first.price_fen_per_l, first.amount_fen, first.pay_method) == (750, 15_000, "微信支付")
    assert [job for _, job in desk.done] == [1, 2, 3]
    assert desk.jobs.to_do() == []


@pytest.mark.requirement("prn.status-read-before-printing")
@pytest.mark.parametrize(
    ("fault", "mend", "word"),
    [("paper_out", "load_paper", "paper"), ("open_cover", "close_cover", "cover")],
)
def test_a_printer_that_is_not_ready_gets_no_receipt_and_the_job_waits(desk, fault, mend, word):
    desk.run(3)
    getattr(desk.printer, fault)(now_us=desk.now_us)
    desk.add()
    desk.run(30)
    assert desk.papers() == []
    assert any(word in problem for problem in desk.spooler.problems)
    assert desk.jobs.to_do()[0].attempts == 0
    getattr(desk.printer, mend)(now_us=desk.now_us)
    if fault == "paper_out":
        desk.printer.close_cover(now_us=desk.now_us)
    desk.run(30)
    assert [(p.sequence, p.reprint) for p in desk.papers()] == [(1, 0)]
    assert desk.spooler.problems == ()


@pytest.mark.requirement(
    "prn.paper-out-reprints-whole-with-mark", "prn.reprints-are-numbered", "prn.lost-link-ends-declared"
)
@pytest.mark.parametrize("seed", range(6))
def test_a_cut_off_receipt_is_printed_again_whole_and_marked_and_never_a_second_original(desk, seed):
    rng = random.Random(seed)
    desk.run(3)
    desk.add(7)
    desk.run(rng.uniform(0.03, 0.9))
    desk.printer.paper_out(now_us=desk.now_us)
    desk.run(20)
    desk.printer.load_paper(now_us=desk.now_us)
    desk.printer.close_cover(now_us=desk.now_us)
    desk.run(60)
    papers = [p for p in desk.papers() if p.sequence == 7 or p.reprint]
    whole = [p for p in desk.papers() if p.amount_fen == 15_000 and p.sequence == 7]
    assert whole, "the customer has one whole receipt"
    assert sum(p.reprint == 0 for p in papers) <= 1, "one original at most"
    assert [p.reprint for p in papers if p.reprint] == sorted({p.reprint for p in papers if p.reprint})
    assert len(desk.done) == 1


@pytest.mark.requirement("prn.lost-link-ends-declared")
@pytest.mark.parametrize("wait_s", [0.001, 0.01, 0.2, 0.5])
def test_power_lost_in_the_middle_gives_a_marked_reprint(desk, wait_s):
    desk.run(3)
    desk.add(7)
    while not any(other == "printer" and len(data) > 100 for _, other, data in desk.flight):
        desk.run(0.001)
    desk.run(wait_s)
    desk.printer.power_off(now_us=desk.now_us)
    desk.run(10)
    desk.printer.power_on(now_us=desk.now_us)
    desk.run(60)
    assert [p.reprint for p in desk.papers() if p.amount_fen == 15_000][-1] == 1
    assert sum(p.reprint == 0 and p.amount_fen == 15_000 for p in desk.papers()) == 0


@pytest.mark.requirement("prn.lost-link-ends-declared")
def test_a_restart_in_the_middle_reprints_with_the_mark(desk):
    desk.run(3)
    desk.add(7)
    while desk.spooler.state != "printing":
        desk.run(0.001)
    desk.run(0.2)
    desk.restart()
    desk.run(60)
    assert [p.reprint for p in desk.papers()] == [0, 1]
    assert desk.jobs.to_do() == []


@pytest.mark.requirement("prn.queue-is-bounded-and-fuel-flows")
def test_the_queue_is_bounded_and_a_dead_printer_stops_nothing():
    desk = Desk(limit=3)
    desk.cable = False
    assert [desk.add(k) for k in range(5)] == [True, True, True, False, False]
    desk.run(3600)
    assert len(desk.spooler) == 3
    assert "no answer" in desk.spooler.problems
    desk.cable = True
    desk.run(60)
    assert len(desk.papers()) == 3
    desk.journal.close()


def test_a_receipt_that_cannot_be_printed_is_refused_with_the_field():
    with pytest.raises(ValueError, match="amount_fen"):
        receipt_content({"station": "KM01"})
    with pytest.raises(ValueError, match="discount"):
        receipt_content(receipt(paid_fen=-1))


def test_noise_from_the_wire_is_no_answer(desk):
    desk.spooler.receive_data(bytes(range(256)), 0)
    desk.add()
    desk.run(30)
    assert len(desk.papers()) == 1
