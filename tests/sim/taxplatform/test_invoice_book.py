"""The book that Nuonuo and Baiwang share, in virtual time: confirmation forms, stock and credit, login lost and burst."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from protocols.fapiao import (
    DIESEL_TAX_CODE,
    LITRE,
    PETROL_TAX_CODE,
    FapiaoState,
    InvoiceLine,
    line_from_quantity,
    quantity_of_ml,
)
from sim.kernel import VirtualKernel
from sim.latency import LatencyProfile
from sim.taxplatform import (
    BookError,
    BookProblem,
    Draft,
    Invoice,
    InvoiceBook,
    Session,
    TaxBureau,
    TaxFault,
    Taxpayer,
)

EPOCH_US = 1_767_571_200_000_000  # 2026-01-05 08:00 in China
SECOND = 1_000_000
HOUR = 3_600 * SECOND
SELLER, BUYER = "91530100MA6K00001X", "91530100MA6K00002X"


class Bench:
    def __init__(self, *faults: TaxFault, **account: Any) -> None:
        self.kernel = VirtualKernel("book", epoch_us=EPOCH_US)
        self.bureau = TaxBureau(self.kernel, faults=faults)
        self.account = Taxpayer(SELLER, "昆明某石油公司", **account)
        self.book = InvoiceBook(
            self.bureau,
            [self.account],
            issue_latency=LatencyProfile.constant(SECOND),
            red_latency=LatencyProfile.constant(12 * SECOND),
        )
        self.ended: list[tuple[int, str]] = []

    def submit(
        self,
        serial: str,
        *,
        platform: str = "nuonuo",
        volume_ml: int = 12_290,
        gross_fen: int = 9598,
        code: str = PETROL_TAX_CODE,
    ) -> Invoice:
        line = InvoiceLine(code, "92号汽油", LITRE, line_from_quantity(quantity_of_ml(volume_ml), gross_fen))
        draft = Draft(platform, SELLER, serial, "pc", "某公司", BUYER, (line,))
        return self.book.submit(draft, self.note)

    def note(self, invoice: Invoice) -> None:
        self.ended.append((self.kernel.now_us, invoice.draft.serial))

    def issued(self, serial: str = "B1", **changes: Any) -> Invoice:
        invoice = self.submit(serial, **changes)
        self.kernel.run(self.kernel.now_us + 2 * SECOND)
        assert invoice.state is FapiaoState.ISSUED
        return invoice

    def red(self, blue: Invoice, serial: str = "R1", **changes: Any) -> Any:
        wanted: dict[str, Any] = {"platform": "nuonuo", "serial": serial, "by_seller": True, "reason": "01"}
        return self.book.apply_red(blue, **(wanted | changes))

    def after(self, delay_us: int) -> None:
        self.kernel.run(self.kernel.now_us + delay_us)


BenchOf = Callable[..., Bench]


@pytest.fixture
def bench_of() -> Iterator[BenchOf]:
    made: list[Bench] = []

    def make(*faults: TaxFault, **account: Any) -> Bench:
        made.append(Bench(*faults, **account))
        return made[-1]

    yield make
    for bench in made:
        bench.kernel.close()


def refusal(call: Callable[[], object]) -> BookProblem:
    with pytest.raises(BookError) as refused:
        call()
    return refused.value.problem


def test_an_invoice_nobody_took_up_is_reversed_without_confirmation(bench_of: BenchOf) -> None:
    bench = bench_of(stock_e8={PETROL_TAX_CODE: quantity_of_ml(20_000)})
    blue = bench.issued()
    assert bench.account.stock_e8[PETROL_TAX_CODE] == quantity_of_ml(7_710)
    form = bench.red(blue)
    assert (form.state, blue.state) == ("01", FapiaoState.REVERSE_ACCEPTED)
    bench.after(11 * SECOND)
    assert blue.state is FapiaoState.REVERSE_ACCEPTED
    bench.after(2 * SECOND)
    assert (blue.state, blue.red_numbers) == (FapiaoState.REVERSED, [form.red.number])
    assert len(form.red.number) == 20
    assert form.red.draft.gross_fen == -9598
    assert bench.account.stock_e8[PETROL_TAX_CODE] == quantity_of_ml(20_000)


def test_a_buyer_who_took_it_up_has_72_hours(bench_of: BenchOf) -> None:
    bench = bench_of()
    blue = bench.issued()
    bench.book.take_up(blue.number)
    form = bench.red(blue)
    entered_us = bench.kernel.now_us
    bench.kernel.run(entered_us + 72 * HOUR - 1)
    assert form.state == "02"
    bench.kernel.run(entered_us + 72 * HOUR + 1)
    assert form.state == "07"
    assert refusal(lambda: bench.book.confirm(form, by_seller=False)) is BookProblem.FORM_STATE
    assert (blue.state, len(bench.book.invoices)) == (FapiaoState.ISSUED, 1)
    again = bench.red(blue, "R2")
    bench.book.confirm(again, by_seller=False)
    bench.after(80 * HOUR)
    assert (again.state, blue.state) == ("04", FapiaoState.REVERSED)


def test_every_way_a_form_becomes_void(bench_of: BenchOf) -> None:
    bench = bench_of()
    blue = bench.issued()
    book = bench.book
    by_buyer = bench.red(blue, "S6", by_seller=False)
    assert by_buyer.state == "03"
    assert refusal(lambda: book.deny(by_buyer, by_seller=False)) is BookProblem.FORM_STATE
    book.deny(by_buyer, by_seller=True)
    book.take_up(blue.number)
    denied = bench.red(blue, "S5")
    book.deny(denied, by_seller=False)
    revoked = bench.red(blue, "S8")
    assert refusal(lambda: book.revoke(revoked, by_seller=False)) is BookProblem.FORM_STATE
    book.revoke(revoked, by_seller=True)
    late = bench.red(blue, "S9", auto_issue=False)
    book.confirm(late, by_seller=False)
    book.revoke(late, by_seller=True)
    assert refusal(lambda: book.issue_red(late)) is BookProblem.FORM_STATE
    abnormal = bench.red(blue, "S10")
    book.declare_abnormal(blue.number)
    assert [f.state for f in (denied, by_buyer, revoked, late, abnormal)] == ["05", "06", "08", "09", "10"]
    bench.after(100 * HOUR)
    assert (blue.state, blue.red_numbers) == (FapiaoState.ISSUED, [])


def test_one_red_letter_however_often_it_is_asked_for(bench_of: BenchOf) -> None:
    bench = bench_of()
    blue = bench.issued()
    form = bench.red(blue, auto_issue=False)
    reds = {id(bench.book.issue_red(form)) for _ in range(5)}
    assert refusal(lambda: bench.red(blue)) is BookProblem.EXISTS
    assert refusal(lambda: bench.red(blue, "R2")) is BookProblem.ALREADY_RED
    bench.after(20 * SECOND)
    assert bench.book.issue_red(form) is form.red
    assert len(reds) == 1
    assert len(blue.red_numbers) == 1
    assert refusal(lambda: bench.book.revoke(form, by_seller=True)) is BookProblem.FORM_STATE


def test_partial_red_letters_never_exceed_the_blue_one(bench_of: BenchOf) -> None:
    bench = bench_of()
    blue = bench.issued()
    half = {0: (-quantity_of_ml(6_000), -4000, -520)}
    bench.red(blue, "P1", parts=half)
    assert refusal(lambda: bench.red(blue, "F1")) is BookProblem.ALREADY_RED
    bench.red(blue, "P2", parts=half)
    assert refusal(lambda: bench.red(blue, "P3", parts=half)) is BookProblem.AMOUNT
    assert refusal(lambda: bench.red(blue, "P4", parts={7: (0, -1, 0)})) is BookProblem.AMOUNT
    assert refusal(lambda: bench.red(blue, "P5", parts={0: (0, 1, 0)})) is BookProblem.AMOUNT
    bench.after(20 * SECOND)
    assert (blue.state, len(blue.red_numbers)) == (FapiaoState.ISSUED, 2)
    figures = blue.draft.lines[0].figures
    rest = (0, -(figures.net_fen - 8000), -(figures.tax_fen - 1040))
    bench.red(blue, "P6", parts={0: rest})
    bench.after(20 * SECOND)
    assert (blue.state, len(blue.red_numbers)) == (FapiaoState.REVERSED, 3)
    assert sum(bench.book.numbers[number].draft.gross_fen for number in blue.red_numbers) == -9598
    assert refusal(lambda: bench.red(blue, "P7", parts={0: (0, -1, 0)})) is BookProblem.ALREADY_RED


def test_stock_and_credit_run_out_and_come_back(bench_of: BenchOf) -> None:
    bench = bench_of(stock_e8={DIESEL_TAX_CODE: quantity_of_ml(10_000)}, credit_fen=10_000)
    diesel = bench.submit("D1", code=DIESEL_TAX_CODE)
    petrol = bench.submit("P1")
    more = bench.submit("P2")
    bench.after(2 * SECOND)
    assert (diesel.state, diesel.reason) == (FapiaoState.ISSUE_FAILED, "成品油库存不足")
    assert petrol.state is FapiaoState.ISSUED
    assert (more.state, more.reason[:6]) == (FapiaoState.ISSUE_FAILED, "授信额度不足")
    assert bench.account.credit_fen == 10_000 - 9598
    bench.account.stock_e8[DIESEL_TAX_CODE] += quantity_of_ml(10_000)
    bench.account.credit_fen = 50_000
    bench.book.retry(diesel)
    bench.after(2 * SECOND)
    assert diesel.state is FapiaoState.ISSUED
    assert refusal(lambda: bench.book.retry(diesel)) is BookProblem.EXISTS
    assert bench.account.credit_fen == 50_000 - 9598


@pytest.mark.parametrize(("kind", "session"), [("login-lost", Session.LOGIN), ("face-check", Session.FACE)])
def test_a_lost_session_holds_blue_and_red_of_all_platforms_and_releases_a_burst(
    bench_of: BenchOf, kind: str, session: Session
) -> None:
    bench = bench_of()
    blue = bench.issued("B0")
    bench.bureau.arm(TaxFault(kind=kind, name="out", burst_gap_us=50_000))
    assert bench.bureau.session() is session
    form = bench.red(blue)
    waiting = [bench.submit(f"B{place}", platform=("nuonuo", "baiwang")[place % 2]) for place in range(1, 21)]
    bench.after(60 * SECOND)
    assert {invoice.state for invoice in waiting} == {FapiaoState.ISSUE_ACCEPTED}
    assert bench.bureau.fault_report() == {"out": {"landed": 21, "held": 21}}
    assert not form.red.number
    bench.ended.clear()
    came_back_us = bench.kernel.now_us
    bench.bureau.disarm("out")
    bench.after(2 * SECOND)
    assert bench.ended == [(came_back_us + place * 50_000, f"B{place + 1}") for place in range(20)]
    assert (form.red.state, blue.state) == (FapiaoState.ISSUED, FapiaoState.REVERSED)
    assert bench.bureau.session() is Session.OK
    numbers = [invoice.number for invoice in waiting]
    assert len(set(numbers)) == 20
    assert numbers == sorted(numbers)


def test_a_serial_is_one_invoice(bench_of: BenchOf) -> None:
    bench = bench_of()
    bench.submit("B1")
    assert all(refusal(lambda: bench.submit("B1")) is BookProblem.EXISTS for _ in range(100))
    bench.submit("B1", platform="baiwang")  # another platform has numbers of its own
    bench.after(2 * SECOND)
    assert len(bench.book.numbers) == 2
