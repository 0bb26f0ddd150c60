"""Random interleavings of pay codes, reversals, debits, combinations and refunds: money is neither made nor lost."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from protocols.wechatpay import (
    TRADE_MOVES,
    ApiError,
    IllegalMoveError,
    RefundEvent,
    RefundState,
    TradeState,
)
from sim.wechatpay import (
    CodePay,
    CombinedBook,
    ContractBook,
    Ledger,
    MerchantAccount,
    Order,
    PaymentRefusedError,
    PhonePlan,
    RefundBook,
    RefundRecord,
    Switches,
    Wallets,
)
from sim.wechatpay.ids import Ids

ACCOUNT = MerchantAccount("1900000109", ("wx1",), {}, "k" * 32)
START_FEN = 2_000
PAYERS = st.sampled_from(["oAnna", "oBert"])
NUMBERS = st.sampled_from([f"NUMBER{number}" for number in range(4)])
MONEY = st.sampled_from([1, 40, 100, 100, 500, 100_001])
STEPS = {(a, b) for (a, _), b in TRADE_MOVES.items()}
DEAD = {TradeState.CLOSED, TradeState.REVOKED, TradeState.PAYERROR}
S = 1_000_000


class Books(RuleBasedStateMachine):
    """The books of all products on one ledger; every move is checked against the state table as it happens."""

    def __init__(self) -> None:
        super().__init__()
        rng = random.Random("products")
        ids = Ids(rng)
        switches = Switches(unpaid_life_s=3_600, refund_gap_s=0)
        self.now_us = 1_790_000_000 * S
        self.states: dict[str, TradeState] = {}
        self.payments: Counter[str] = Counter()
        self.ledger = Ledger(ids, switches, self.on_order)
        self.wallets = Wallets(switches)
        for openid in ("oAnna", "oBert"):
            self.wallets.limit(openid, START_FEN)
        self.refunds = RefundBook(self.ledger, ids, switches)
        self.codepay = CodePay(self.ledger, self.wallets, ids, switches)
        self.contracts = ContractBook(self.ledger, self.wallets, ids, switches)
        self.combined = CombinedBook(self.ledger, {ACCOUNT.mchid: ACCOUNT}, ids, switches)
        self.codes: list[tuple[str, str]] = []
        self.charged: Counter[str] = Counter()
        self.handles: list[str] = []
        self.signed = self.contracts.sign(
            ACCOUNT,
            "oAnna",
            plan_id=1,
            out_contract_code="KM1",
            limit_fen=100,
            day_limit_fen=150,
            unix_us=self.now_us,
        )

    def on_order(self, order: Order) -> None:
        before = self.states.get(order.out_trade_no)
        assert before not in DEAD, f"{order.out_trade_no} left {before}"
        assert (before, order.state) in STEPS or (before is None and order.state is TradeState.NOTPAY)
        self.states[order.out_trade_no] = order.state
        if order.state is TradeState.SUCCESS:
            self.payments[order.out_trade_no] += 1

    @rule(seconds=st.sampled_from([1, 14, 46, 61, 86_400, 604_800]))
    def time_passes(self, seconds: int) -> None:
        self.now_us += seconds * S

    @rule(openid=PAYERS, asks=st.booleans(), fen=MONEY)
    def charge_a_fresh_code(self, openid: str, asks: bool, fen: int) -> None:
        code = self.codepay.show(openid, self.now_us, PhonePlan(asks=asks)).code
        self.codes.append((code, openid))
        self._charge(f"FRESH{len(self.codes)}", fen, code, openid)

    @precondition(lambda self: self.codes)
    @rule(number=NUMBERS, fen=MONEY, data=st.data())
    def charge_a_used_code(self, number: str, fen: int, data: st.DataObject) -> None:
        code, openid = data.draw(st.sampled_from(self.codes))
        self._charge(number, fen, code, openid)

    @precondition(lambda self: self.codes)
    @rule(data=st.data())
    def reverse_a_charge(self, data: st.DataObject) -> None:
        self.reverse(f"FRESH{data.draw(st.integers(1, len(self.codes)))}")

    @precondition(lambda self: self.codes)
    @rule(data=st.data(), refund=st.sampled_from(["R4", "R5", "R6"]), fen=MONEY)
    def refund_a_charge(self, data: st.DataObject, refund: str, fen: int) -> None:
        self.refund(f"FRESH{data.draw(st.integers(1, len(self.codes)))}", refund, fen)

    def _charge(self, number: str, fen: int, code: str, openid: str) -> None:
        body = {
            "appid": "wx1",
            "out_trade_no": number,
            "description": "92#",
            "amount": {"total": fen},
            "payer": {"auth_code": code},
            "scene_info": {"store_info": {"id": "KM01"}},
        }
        known = number in self.states
        try:
            order, box = self.codepay.charge(ACCOUNT, body, self.now_us)
        except ApiError as error:
            if error.code == "NOTENOUGH":
                self.charged[code] += 1
                assert fen > (self.wallets.balance_fen(openid) or 0)
            return
        assert (order.openid, order.total_fen) == (openid, fen)
        assert box is None or order.state is TradeState.USERPAYING
        if not known:
            self.charged[code] += 1

    @precondition(lambda self: self.codes)
    @rule(data=st.data(), yes=st.booleans())
    def the_payer_answers(self, data: st.DataObject, yes: bool) -> None:
        code, openid = data.draw(st.sampled_from(self.codes))
        act = self.codepay.confirm if yes else self.codepay.cancel
        try:
            order = act(code, openid, self.now_us)
        except PaymentRefusedError:
            return
        assert order.state is (TradeState.SUCCESS if yes else TradeState.PAYERROR)

    @rule(number=NUMBERS)
    def reverse_anything(self, number: str) -> None:
        self.reverse(number)

    def reverse(self, number: str) -> None:
        before = self.states.get(number)
        try:
            order = self.codepay.reverse(ACCOUNT, number, "wx1", self.now_us)
        except ApiError:
            assert self.states.get(number) in {before, TradeState.REVOKED, TradeState.CLOSED}
            return
        assert order.state in {TradeState.REVOKED, TradeState.PAYERROR}

    @rule(number=NUMBERS, fen=MONEY)
    def debit(self, number: str, fen: int) -> None:
        body = {
            "appid": "wx1",
            "out_trade_no": number,
            "description": "92#",
            "transaction_notify_url": "https://x",
            "contract_id": self.signed.contract_id,
            "amount": {"total": fen},
        }
        try:
            order, is_open = self.contracts.debit(ACCOUNT, body, self.now_us)
        except ApiError:
            return
        assert order.total_fen <= self.signed.limit_fen
        assert order.state is TradeState.ACCEPTED or not is_open

    @rule(number=NUMBERS, problem=st.sampled_from([None, None, "bank"]))
    def the_bank_decides(self, number: str, problem: str | None) -> None:
        order = self.ledger.find(ACCOUNT.mchid, number, self.now_us)
        if order is not None and order.state is TradeState.ACCEPTED:
            has_paid = self.contracts.decide(order, self.now_us, problem)
            assert has_paid == (order.state is TradeState.SUCCESS)
            assert not (has_paid and problem)

    @rule(numbers=st.lists(NUMBERS, min_size=1, max_size=3, unique=True), fen=MONEY)
    def combine(self, numbers: list[str], fen: int) -> None:
        body = {
            "combine_appid": "wx1",
            "combine_out_trade_no": f"C{'-'.join(numbers)}{fen}"[-32:],
            "notify_url": "https://x",
            "combine_payer_info": {"openid": "oAnna"},
            "sub_orders": [
                {
                    "mchid": ACCOUNT.mchid,
                    "out_trade_no": number,
                    "attach": "",
                    "description": "92#",
                    "amount": {"total_amount": fen},
                }
                for number in numbers
            ],
        }
        try:
            _, handle = self.combined.prepay(ACCOUNT, body, self.now_us, native=False)
        except ApiError:
            return
        self.handles.append(handle)

    @precondition(lambda self: self.handles)
    @rule(data=st.data(), closes=st.booleans())
    def pay_or_close_a_combination(self, data: st.DataObject, closes: bool) -> None:
        handle = data.draw(st.sampled_from(self.handles))
        combined = self.combined.of_handle(handle)
        try:
            if closes:
                self.combined.close(ACCOUNT.mchid, combined.number, {}, self.now_us)
            else:
                self.combined.payable(handle, "oAnna", self.now_us)
                if self.wallets.covers("oAnna", combined.total_fen):
                    self.combined.pay(handle, "oAnna", self.now_us)
                    self.wallets.take("oAnna", combined.total_fen)
        except (ApiError, PaymentRefusedError):
            pass
        assert len({order.state is TradeState.NOTPAY for order in combined.orders}) == 1
        assert len({order.state is TradeState.CLOSED for order in combined.orders}) == 1

    @rule(number=NUMBERS)
    def close(self, number: str) -> None:
        try:
            self.ledger.close(ACCOUNT.mchid, number, self.now_us)
        except ApiError:
            return
        assert self.states[number] is TradeState.CLOSED

    @rule(number=NUMBERS, refund=st.sampled_from(["R1", "R2", "R3"]), fen=MONEY)
    def refund_anything(self, number: str, refund: str, fen: int) -> None:
        self.refund(number, refund, fen)

    def refund(self, number: str, refund: str, fen: int) -> None:
        order = self.ledger.find(ACCOUNT.mchid, number, self.now_us)
        total = order.total_fen if order is not None else 1
        body = {"out_trade_no": number, "out_refund_no": refund, "amount": {"refund": fen, "total": total}}
        try:
            self.refunds.request(ACCOUNT.mchid, body, self.now_us)
        except ApiError:
            return

    @rule(event=st.sampled_from(RefundEvent), data=st.data())
    @precondition(lambda self: self.refunds.refunds)
    def the_bank_answers_a_refund(self, event: RefundEvent, data: st.DataObject) -> None:
        record: RefundRecord = data.draw(st.sampled_from(self.refunds.refunds))
        try:
            if event is RefundEvent.APPLY:
                number = record.out_refund_no
                self.refunds.apply(ACCOUNT.mchid, record.refund_id, number, "ICBC0001", self.now_us)
            else:
                self.refunds.move(record, event, self.now_us)
        except (IllegalMoveError, ApiError):
            return
        if record.state is RefundState.SUCCESS and record.channel == "ORIGINAL":
            self.wallets.give(record.order.openid, record.refund_fen)

    @invariant()
    def money_is_where_the_books_say(self) -> None:
        for openid in ("oAnna", "oBert"):
            spent = 0
            for order in self.ledger.orders:
                if order.openid == openid and order.transaction_id is not None:
                    spent += order.total_fen
                    spent -= order.total_fen if order.state is TradeState.REVOKED else 0
            for record in self.refunds.refunds:
                if record.order.openid == openid and record.channel == "ORIGINAL":
                    spent -= record.refund_fen if record.state is RefundState.SUCCESS else 0
            balance_fen = self.wallets.balance_fen(openid)
            assert balance_fen == START_FEN - spent
            assert balance_fen >= 0

    @invariant()
    def nothing_is_paid_twice_and_refunds_never_exceed_payments(self) -> None:
        assert all(count == 1 for count in self.payments.values())
        assert all(count == 1 for count in self.charged.values())
        for order in self.ledger.orders:
            assert 0 <= order.refunded_fen <= order.total_fen
            assert (order.transaction_id is not None) == (self.payments[order.out_trade_no] == 1)
            if order.refunded_fen:
                assert order.transaction_id is not None

    @invariant()
    def a_days_debits_stay_below_the_contracts_limit(self) -> None:
        days: Counter[int] = Counter()
        for order in self.ledger.orders:
            if order.trade_type == "PAP" and order.success_us is not None:
                days[(order.success_us + 8 * 3_600 * S) // (86_400 * S)] += order.total_fen
        assert all(fen <= 150 for fen in days.values())


Books.TestCase.settings = settings(max_examples=50, stateful_step_count=50, deadline=None)
TestProductBooks = Books.TestCase
