"""Random interleavings of prepay, payment, close, expiry and refund keep the books right."""

from __future__ import annotations

import random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from protocols.wechatpay import (
    REFUND_MOVES,
    TRADE_MOVES,
    ApiError,
    IllegalMoveError,
    RefundEvent,
    RefundState,
    TradeState,
)
from sim.wechatpay import (
    Ledger,
    MerchantAccount,
    Order,
    PaymentRefusedError,
    RefundBook,
    RefundRecord,
    Switches,
)
from sim.wechatpay.ids import Ids

ACCOUNT = MerchantAccount("1900000109", ("wx1",), {}, "k" * 32)
OPENIDS = ("oAnna", "oAnna", "oAnna", "oBert")  # mostly the right payer
NUMBERS = st.sampled_from(["ORDER1", "ORDER2"])
TRADE_STEPS = {(a, b) for (a, _), b in TRADE_MOVES.items()}
REFUND_STEPS = {(a, b) for (a, _), b in REFUND_MOVES.items()}


class Books(RuleBasedStateMachine):
    """The ledger driven at random; every move is checked against the state table as it happens."""

    prepaid = Bundle("prepaid")
    pending = Bundle("pending")

    @initialize(close_closed=st.sampled_from(["accept", "refuse"]))
    def open_books(self, close_closed: str) -> None:
        ids = Ids(random.Random("books"))
        switches = Switches(close_closed=close_closed, unpaid_life_s=600, prepay_life_s=120, refund_gap_s=0)  # type: ignore[arg-type]
        self.now_us = 1_790_000_000_000_000
        self.states: dict[str, TradeState] = {}
        self.refund_states: dict[str, RefundState] = {}
        self.paid_fen = 0
        self.settled: dict[str, int] = {}
        self.ledger = Ledger(ids, switches, self.on_order)
        self.refunds = RefundBook(self.ledger, ids, switches, self.on_refund)

    def on_order(self, order: Order) -> None:
        before = self.states.get(order.out_trade_no)
        assert before is not TradeState.CLOSED, "an order left CLOSED"
        assert (before, order.state) in TRADE_STEPS or (before is None and order.state is TradeState.NOTPAY)
        self.states[order.out_trade_no] = order.state

    def on_refund(self, record: RefundRecord) -> None:
        before = self.refund_states.get(record.out_refund_no)
        assert (before, record.state) in REFUND_STEPS or (
            before is None and record.state is RefundState.PROCESSING
        )
        self.refund_states[record.out_refund_no] = record.state

    @rule(seconds=st.sampled_from([1, 60, 130, 301]))
    def time_passes(self, seconds: int) -> None:
        self.now_us += seconds * 1_000_000

    @rule(
        target=prepaid,
        number=NUMBERS,
        fen=st.sampled_from([100, 100, 100, 60]),
        openid=st.sampled_from(OPENIDS),
    )
    def prepay(self, number: str, fen: int, openid: str) -> tuple[str, str]:
        body = {
            "appid": "wx1",
            "out_trade_no": number,
            "amount": {"total": fen},
            "payer": {"openid": openid},
            "notify_url": "https://backend.station/notify",
        }
        known = self.ledger.find(ACCOUNT.mchid, number, self.now_us)
        code = None
        try:
            order, prepay_id = self.ledger.prepay(ACCOUNT, body, self.now_us)
        except ApiError as error:
            code = error.code
        if code is not None:
            assert known is not None
            same = (known.total_fen, known.openid) == (fen, openid)
            expected = "INVALID_REQUEST" if same else "OUT_TRADE_NO_USED"
            assert code == ("ORDER_CLOSED" if known.state is TradeState.CLOSED else expected)
            return "wx-none", openid
        assert order.state is TradeState.NOTPAY
        assert (order.total_fen, order.openid) == (fen, openid)
        return prepay_id, number

    @rule(prepaid=prepaid, openid=st.sampled_from(OPENIDS))
    def pay(self, prepaid: tuple[str, str], openid: str) -> None:
        prepay_id, number = prepaid
        before = self.states.get(number)
        try:
            order = self.ledger.pay(prepay_id, openid, self.now_us)
        except PaymentRefusedError:
            assert self.states.get(number) in {before, TradeState.CLOSED}
            return
        assert before is TradeState.NOTPAY
        assert order.openid == openid
        assert order.transaction_id is not None
        self.paid_fen += order.total_fen

    @rule(number=NUMBERS)
    def close(self, number: str) -> None:
        code = None
        try:
            self.ledger.close(ACCOUNT.mchid, number, self.now_us)
        except ApiError as error:
            code = error.code
        state = self.states.get(number)
        if code is None:
            assert state is TradeState.CLOSED
        elif code == "TRADE_ERROR":
            assert state in {TradeState.SUCCESS, TradeState.REFUND}
        else:
            assert (code, state) in {("ORDER_NOT_EXIST", None), ("ORDER_CLOSED", TradeState.CLOSED)}

    @rule(
        target=pending,
        number=NUMBERS,
        refund=st.sampled_from(["R1", "R2", "R3"]),
        fen=st.sampled_from([1, 40, 60, 100]),
        total=st.sampled_from([100, 100, 60]),
    )
    def refund(self, number: str, refund: str, fen: int, total: int) -> RefundRecord | None:
        body = {"out_trade_no": number, "out_refund_no": refund, "amount": {"refund": fen, "total": total}}
        code = None
        known = {record.out_refund_no for record in self.refunds.refunds}
        try:
            record, is_new = self.refunds.request(ACCOUNT.mchid, body, self.now_us)
        except ApiError as error:
            code = error.code
        if code is not None:
            assert code in {"INVALID_REQUEST", "RESOURCE_NOT_EXISTS"}
            return None
        assert (record.refund_fen, record.order.total_fen) == (fen, total)
        assert is_new == (refund not in known)
        return record

    @rule(record=consumes(pending), event=st.sampled_from(RefundEvent))
    def bank_answers(self, record: RefundRecord | None, event: RefundEvent) -> None:
        if record is None:
            return
        try:
            self.refunds.move(record, event, self.now_us)
        except IllegalMoveError:
            return
        if record.state is RefundState.SUCCESS:
            assert record.out_refund_no not in self.settled, "one refund was paid out twice"
            self.settled[record.out_refund_no] = record.refund_fen

    @invariant()
    def refunds_never_exceed_what_was_paid(self) -> None:
        if not hasattr(self, "ledger"):
            return
        for order in self.ledger.orders:
            open_fen = sum(
                record.refund_fen
                for record in self.refunds.refunds
                if record.order is order and record.state is not RefundState.CLOSED
            )
            assert order.refunded_fen == open_fen <= order.total_fen
            if order.refund_count:
                assert order.state is TradeState.REFUND
        assert sum(self.settled.values()) <= self.paid_fen

    @invariant()
    def only_paid_orders_have_a_transaction(self) -> None:
        if not hasattr(self, "ledger"):
            return
        for order in self.ledger.orders:
            is_paid = order.state in {TradeState.SUCCESS, TradeState.REFUND}
            assert (order.transaction_id is not None) == is_paid
            assert ("transaction_id" in order.shown()) == is_paid


Books.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestBooks = Books.TestCase
