"""Whatever a signed body says, the answer is a refusal in the platform's own words, and the books stay straight."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from protocols.baiwang import BaiwangError, parse_issue, parse_red_add
from protocols.fapiao import (
    LITRE,
    PETROL_TAX_CODE,
    FapiaoState,
    InvoiceLine,
    json_object,
    line_from_quantity,
    quantity_of_ml,
)
from protocols.nuonuo import NuonuoError, parse_order, parse_red_application
from sim.kernel import VirtualKernel
from sim.latency import LatencyProfile
from sim.taxplatform import BookError, Draft, Invoice, InvoiceBook, RedForm, TaxBureau, TaxFault, Taxpayer

SELLER = "91530100MA6K00001X"
LINE = {
    "goodsName": "92号汽油",
    "goodsCode": PETROL_TAX_CODE,
    "withTaxFlag": "1",
    "price": "7.81",
    "num": "12.29",
    "unit": "升",
    "taxRate": "0.13",
    "taxIncludedAmount": "95.98",
    "goodsUnit": "升",
    "goodsQuantity": "12.29",
    "goodsTotalPrice": "95.98",
    "goodsTaxRate": "0.13",
    "originalInvoiceDetailNo": "1",
    "blueDetailIndex": "1",
    "taxExcludedAmount": "",
    "taxAmount": "-1",
    "goodsTotalTax": "",
}
FLAT = {
    "orderNo": "A1",
    "serialNo": "A1",
    "buyerName": "个人",
    "buyerTaxNum": SELLER,
    "salerTaxNum": SELLER,
    "invoiceDate": "2026-01-05 08:00:00",
    "invoiceLine": "pc",
    "specificFactor": "1",
    "invoiceDetail": [LINE],
    "invoiceTypeCode": "02",
    "invoiceSpecialMark": "01",
    "priceTaxMark": "1",
    "invoiceDetailsList": [LINE],
    "blueInvoiceLine": "pc",
    "sellerTaxNo": SELLER,
    "blueElecInvoiceNumber": "26532000000000000001",
    "applySource": "0",
    "redReason": "1",
    "detail": [LINE],
    "redConfirmSerialNo": "R1",
    "entryIdentity": "01",
    "originalInvoiceNo": "26532000000000000001",
    "redInvoiceLabel": "01",
    "invoiceTotalPrice": "84.94",
    "invoiceTotalTax": "11.04",
    "redConfirmDetailReqEntityList": [LINE],
}
junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**25), 10**25)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=30)
    | st.sampled_from(["-0", "1e9999", "1E-30", "０.13", "0x10", " 7.81 ", "9" * 30]),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3)
    ),
    max_leaves=5,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted({*FLAT, *LINE})), junk, max_size=3))
def test_every_body_is_read_or_refused(changes: dict[str, Any]) -> None:
    flat = copy.deepcopy(FLAT)
    line = {**LINE, **{name: value for name, value in changes.items() if name in LINE}}
    for name in ("invoiceDetail", "invoiceDetailsList", "detail", "redConfirmDetailReqEntityList"):
        flat[name] = [line]
    flat |= {name: value for name, value in changes.items() if name not in LINE}
    read = json_object(json.dumps(flat).encode())
    for parse, body, refusal in (
        (parse_order, {"order": read}, NuonuoError),
        (parse_red_application, read, NuonuoError),
        (parse_issue, {"data": read}, BaiwangError),
        (parse_red_add, read, BaiwangError),
    ):
        try:
            parse(body)  # type: ignore[operator]
        except refusal as error:
            assert str(error)  # noqa: PT017 # either way is fine


class Books(RuleBasedStateMachine):
    """Anybody does anything in any order; litres, fen and numbers still add up."""

    invoices = Bundle("invoices")
    forms = Bundle("forms")

    def __init__(self) -> None:
        super().__init__()
        self.kernel = VirtualKernel("books", epoch_us=1_767_571_200_000_000)
        self.bureau = TaxBureau(self.kernel)
        self.account = Taxpayer(
            SELLER, "某公司", stock_e8={PETROL_TAX_CODE: quantity_of_ml(60_000)}, credit_fen=60_000
        )
        latency = LatencyProfile.uniform(1, 10_000_000)
        self.book = InvoiceBook(self.bureau, [self.account], issue_latency=latency, red_latency=latency)
        self.count = 0

    def teardown(self) -> None:
        self.kernel.close()

    @rule(target=invoices, volume_ml=st.integers(100, 2_000), platform=st.sampled_from(["nuonuo", "baiwang"]))
    def submit(self, volume_ml: int, platform: str) -> Invoice:
        self.count += 1
        figures = line_from_quantity(quantity_of_ml(volume_ml * 10), volume_ml * 8)
        line = InvoiceLine(PETROL_TAX_CODE, "汽油", LITRE, figures)
        draft = Draft(platform, SELLER, f"B{self.count}", "pc", "某人", "BUYER", (line,))
        return self.book.submit(draft, lambda _invoice: None)

    @rule(seconds=st.sampled_from([1, 10, 3600, 73 * 3600]))
    def wait(self, seconds: int) -> None:
        self.kernel.run(self.kernel.now_us + seconds * 1_000_000)

    @rule(invoice=invoices)
    def again(self, invoice: Invoice) -> None:
        with pytest.raises(BookError):
            self.book.submit(invoice.draft, lambda _invoice: None)

    @rule(invoice=invoices)
    def retry(self, invoice: Invoice) -> None:
        if invoice.state is FapiaoState.ISSUE_FAILED:
            self.book.retry(invoice)

    @rule(invoice=invoices)
    def take_up(self, invoice: Invoice) -> None:
        if invoice.number:
            self.book.take_up(invoice.number)

    @rule(
        target=forms,
        invoice=invoices,
        by_seller=st.booleans(),
        auto_issue=st.booleans(),
        share=st.sampled_from([None, 2, 3]),
    )
    def enter(self, invoice: Invoice, by_seller: bool, auto_issue: bool, share: int | None) -> RedForm | None:
        self.count += 1
        figures = invoice.draft.lines[0].figures
        part = share and (
            -figures.quantity_e8 // share,
            -(figures.net_fen // share),
            -(figures.tax_fen // share),
        )
        try:
            return self.book.apply_red(
                invoice,
                platform=invoice.draft.platform,
                serial=f"R{self.count}",
                by_seller=by_seller,
                reason="01",
                parts={0: part} if part else None,
                auto_issue=auto_issue,
            )
        except BookError:
            return None

    @rule(
        form=forms,
        by_seller=st.booleans(),
        action=st.sampled_from(["confirm", "deny", "revoke", "issue_red"]),
    )
    def say(self, form: RedForm | None, by_seller: bool, action: str) -> None:
        if form is None:
            return
        try:
            if action == "issue_red":
                assert self.book.issue_red(form) is self.book.issue_red(form)
            else:
                getattr(self.book, action)(form, by_seller=by_seller)
        except BookError as error:
            assert error.message  # noqa: PT017 # either way is fine

    @rule(form=consumes(forms))
    def abnormal(self, form: RedForm | None) -> None:
        if form is not None:
            self.book.declare_abnormal(form.blue.number)

    @rule()
    def log_out(self) -> None:
        self.count += 1
        self.bureau.arm(TaxFault(kind="login-lost", name=f"out {self.count}", at_us=0))

    @rule()
    def log_in(self) -> None:
        for name in self.bureau.fault_report():
            try:
                self.bureau.disarm(name)
            except KeyError:
                continue

    @invariant()
    def everything_adds_up(self) -> None:
        issued = [invoice for invoice in self.book.invoices.values() if invoice.number]
        assert len({invoice.number for invoice in issued}) == len(issued) == len(self.book.numbers)
        litres = sum(invoice.draft.lines[0].figures.quantity_e8 for invoice in issued)
        assert self.account.stock_e8[PETROL_TAX_CODE] == quantity_of_ml(60_000) - litres >= 0
        blue_fen = sum(invoice.draft.gross_fen for invoice in issued if not invoice.draft.is_red)
        assert self.account.credit_fen == 60_000 - blue_fen
        for invoice in issued:
            if invoice.draft.is_red:
                continue
            reds = [self.book.numbers[number].draft for number in invoice.red_numbers]
            taken_back = -sum(red.gross_fen for red in reds)
            assert 0 <= taken_back <= invoice.draft.gross_fen
            assert (invoice.state is FapiaoState.REVERSED) is (taken_back == invoice.draft.gross_fen)
            live = [form for form in invoice.red_claims if not form.state.is_void]
            assert -sum(form.gross_fen for form in live) <= invoice.draft.gross_fen


Books.TestCase.settings = settings(
    max_examples=8, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestBooks = Books.TestCase
