"""The reference's spooler on the simulated printer: whatever happens at whatever moment, one sale has one original at most."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import pytest

from protocols.escpos import read_receipt
from reference.site.receipts.journal import PrintJob
from reference.site.receipts.spooler import ReceiptSpooler
from sim.kernel import VirtualKernel
from sim.printer import Printer
from sim.wires import VirtualLink

RECEIPT = {
    "station_name": "昆明北站加油站",
    "station": "KM01",
    "nozzle": 3,
    "grade": "95",
    "volume_ml": 12_290,
    "price_fen_per_l": 781,
    "amount_fen": 9598,
    "paid_fen": 9598,
    "sequence": 7,
    "ended_us": 1_767_571_200_000_000,
    "tender": "wechatpay",
}
Control = Callable[[Printer, int], None]
FAULTS: dict[str, tuple[Control, Control]] = {
    "paper": (lambda p, now: p.paper_out(now), lambda p, now: p.load_paper(now_us=now)),
    "cover": (lambda p, now: p.open_cover(now), lambda p, now: p.close_cover(now)),
    "power": (lambda p, now: p.power_off(now), lambda p, now: p.power_on(now)),
}


@pytest.mark.requirement("prn.paper-out-reprints-whole-with-mark", "prn.reprints-are-numbered")
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("at_us", range(0, 2_000_000, 130_000))
def test_a_fault_at_any_moment_leaves_one_confirmed_receipt_and_one_original_at_most(
    fault: str, at_us: int
) -> None:
    kernel = VirtualKernel("spooler", epoch_us=0)
    confirmed: list[int] = []
    copies = count()
    spooler = ReceiptSpooler(
        columns=48,
        limit=10,
        on_begin=lambda _job: next(copies),
        on_done=lambda job: confirmed.append(job.job_id),
    )
    printer = Printer()
    VirtualLink(kernel, "printer", spooler, printer, latency_us=1_000)
    spooler.add(PrintJob(1, None, RECEIPT, 0))
    strike, heal = FAULTS[fault]
    kernel.call_at(at_us, lambda: strike(printer, kernel.now_us))
    kernel.call_at(at_us + 20_000_000, lambda: heal(printer, kernel.now_us))
    kernel.run(120_000_000)
    kernel.close()

    assert confirmed == [1]
    assert printer.unfinished is None
    facts = [read_receipt(receipt.text) for receipt in printer.receipts]
    assert {(fact.sequence, fact.paid_fen) for fact in facts} == {(7, 9598)}
    marks = [fact.reprint for fact in facts]
    assert marks == sorted(set(marks))
    assert printer.receipts[-1].text.count("实付") >= 1
