"""The gateway's books: trades by order number and time. No time passes in here and nothing is sent; callers pass the time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from protocols.unionpay import CHINA, Fields, Shape, clearing_date, unix_s_of_txn_time
from sim.unionpay.ids import Ids
from sim.unionpay.profile import Switches

__all__ = ["AcpRefusedError", "Ledger", "PaymentRefusedError", "Trade", "TradeState"]


class TradeState(StrEnum):
    """Where a trade stands. A cancelled or refunded one stays ``SUCCESS``: its cancel and refunds are trades of their own."""

    PENDING = "pending"
    SUCCESS = "success"
    FAILED = "failed"
    REVERSED = "reversed"


class AcpRefusedError(Exception):
    """A request gets this code.

    Attributes:
        code: response code.
        detail: what stands in brackets behind the text, for people: a field's name or a few words.
    """

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code} {detail}")
        self.code = code
        self.detail = detail


class PaymentRefusedError(Exception):
    """The payer's phone shows that this cannot be paid.

    Attributes:
        reason: ``unknown-order``, ``expired``, ``paid``, ``failed``, ``reversed``, ``password``, ``sms-code``, ``other-payer``.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(slots=True, eq=False)
class Trade:
    """One transaction. Money is fen, times are Unix microseconds.

    Attributes:
        kind: name of its shape.
        request: fields that replies and notices repeat.
        code: ``origRespCode`` that a query shows.
        reserved_fen: refunds accepted and not declined.
        is_cancelled: a cancel was accepted and not declined.
        is_completed: pre-authorisation: a completion was accepted and not declined.
        payer: who may pay it, where the payer's own code was scanned.
        needs_sms: the payer must give password and SMS code.
        handles: what the payer's phone or browser knows it by.
    """

    kind: str
    mer_id: str
    order_id: str
    txn_time: str
    txn_type: str
    amount_fen: int
    back_url: str
    front_url: str | None
    request: Fields
    created_us: int
    expire_us: int
    query_id: str
    trace_no: str
    code: str
    acc_no: str
    state: TradeState = TradeState.PENDING
    done_us: int | None = None
    original: Trade | None = None
    reserved_fen: int = 0
    is_cancelled: bool = False
    is_completed: bool = False
    payer: str | None = None
    needs_sms: bool = False
    handles: dict[str, str] = field(default_factory=dict)

    def settled(self) -> Fields:
        """What is known once it succeeded, for queries and notices."""
        if self.done_us is None:
            return {}
        done_s = self.done_us // 1_000_000
        shown: Fields = {
            "queryId": self.query_id,
            "traceNo": self.trace_no,
            "traceTime": datetime.fromtimestamp(done_s, CHINA).strftime("%m%d%H%M%S"),
            "settleAmt": str(self.amount_fen),
            "settleCurrencyCode": "156",
            "settleDate": clearing_date(done_s)[4:],
            "currencyCode": "156",
            "accNo": self.acc_no,
            "payCardType": "01",
        }
        if self.original is not None:
            shown["origQryId"] = self.original.query_id
        return shown


class Ledger:
    """All trades of all merchants; ``orderId`` and ``txnTime`` *together* name one.

    Args:
        ids: where numbers come from.
        switches: what sources leave open.
        on_move: called with each trade that is new or whose state has just changed.
    """

    def __init__(self, ids: Ids, switches: Switches, on_move: Callable[[Trade], None]) -> None:
        self._ids = ids
        self._switches = switches
        self._on_move = on_move
        self._trades: dict[tuple[str, str, str], Trade] = {}
        self._by_query_id: dict[tuple[str, str], Trade] = {}
        self._by_handle: dict[tuple[str, str], Trade] = {}

    @property
    def trades(self) -> tuple[Trade, ...]:
        """All trades in the order they were made."""
        return tuple(self._trades.values())

    def add(
        self, shape: Shape, fields: Mapping[str, str], request: Fields, now_us: int, *, life_s: int = 0
    ) -> Trade:
        """A new trade, pending.

        Args:
            shape: its kind.
            fields: the request's.
            request: those that replies repeat.
            now_us: Unix time.
            life_s: it can be paid this long where the request has no ``payTimeout``; 0: as long as it takes.

        Raises:
            AcpRefusedError: 12, the merchant has sent this number and time before; 39, its ``payTimeout`` is over.
        """
        key = (fields["merId"], fields["orderId"], fields["txnTime"])
        if key in self._trades:
            raise AcpRefusedError("12")
        now_s = now_us // 1_000_000
        deadline_s = unix_s_of_txn_time(fields.get("payTimeout", ""))
        if deadline_s is not None and deadline_s <= now_s:
            raise AcpRefusedError("39", "payTimeout")
        expire_us = deadline_s * 1_000_000 if deadline_s is not None else now_us + life_s * 1_000_000
        trace_no = self._ids.trace_no()
        trade = Trade(
            kind=shape.name,
            mer_id=key[0],
            order_id=key[1],
            txn_time=key[2],
            txn_type=shape.txn_type,
            amount_fen=int(fields["txnAmt"]),
            back_url=fields["backUrl"],
            front_url=fields.get("frontUrl"),
            request=request,
            created_us=now_us,
            expire_us=expire_us if life_s or deadline_s is not None else 1 << 62,
            query_id=self._ids.query_id(now_s, trace_no),
            trace_no=trace_no,
            code=self._switches.pending_query_code,
            acc_no=self._ids.masked_card(),
        )
        self._trades[key] = trade
        self._by_query_id[trade.mer_id, trade.query_id] = trade
        self._on_move(trade)
        return trade

    def name(self, trade: Trade, handle: str, value: str) -> None:
        """Let payers find a trade by a ``tn``, ``page``, ``qr_code`` or ``qr_no``."""
        trade.handles[handle] = value
        self._by_handle[handle, value] = trade

    def find(self, mer_id: str, order_id: str, txn_time: str, now_us: int) -> Trade | None:
        """A trade by its identity, expired if its time is over."""
        return self._touch(self._trades.get((mer_id, order_id, txn_time)), now_us)

    def find_original(self, mer_id: str, query_id: str, now_us: int) -> Trade | None:
        """A trade by the ``queryId`` the platform gave it."""
        return self._touch(self._by_query_id.get((mer_id, query_id)), now_us)

    def payable(self, handle: str, value: str, now_us: int) -> Trade:
        """The trade a payer can pay now.

        Raises:
            PaymentRefusedError: there is none, or it cannot be paid any more.
        """
        trade = self._touch(self._by_handle.get((handle, value)), now_us)
        if trade is None:
            raise PaymentRefusedError("unknown-order")
        reason = self.why_over(trade)
        if reason is not None:
            raise PaymentRefusedError(reason)
        return trade

    def kind_of(self, handle: str, value: str) -> str:
        """Kind of the trade a payer names; empty if there is none."""
        trade = self._by_handle.get((handle, value))
        return trade.kind if trade is not None else ""

    def charge_late(self, handle: str, value: str, now_us: int) -> Trade | None:
        """Money is taken for an order that had expired; None if there is no such order. It can be refunded."""
        trade = self._by_handle.get((handle, value))
        if trade is None or self.why_over(trade) != "expired":
            return None
        trade.done_us = now_us
        self._move(trade, TradeState.SUCCESS, "42")
        return trade

    def why_over(self, trade: Trade) -> str | None:
        """Why a trade cannot be paid (any more), as `PaymentRefusedError` says it; None if it can."""
        if trade.state is TradeState.SUCCESS:
            return "paid"
        if trade.state is TradeState.REVERSED:
            return "reversed"
        if trade.state is TradeState.FAILED:
            return "expired" if trade.code == self._switches.expired_code else "failed"
        return None

    def succeed(self, trade: Trade, now_us: int) -> bool:
        """The issuer said yes; False if the trade was over already."""
        if self._touch(trade, now_us) is None or trade.state is not TradeState.PENDING:
            return False
        trade.done_us = now_us
        self._move(trade, TradeState.SUCCESS, "00")
        return True

    def fail(self, trade: Trade, code: str) -> bool:
        """The issuer said no: what the trade had reserved in its original is free again. False if it was over already."""
        if trade.state is not TradeState.PENDING:
            return False
        original = trade.original
        if original is not None:
            if trade.kind == "refund":
                original.reserved_fen -= trade.amount_fen
            elif trade.kind == "completion":
                original.is_completed = False
            else:
                original.is_cancelled = False
                if trade.kind == "completion-cancel" and original.original is not None:
                    original.original.is_completed = True
        self._move(trade, TradeState.FAILED, code)
        return True

    def reverse(self, trade: Trade) -> None:
        """Undo a consume, whatever became of it.

        Raises:
            AcpRefusedError: 46, it was reversed before; 45, it was cancelled or refunded; 35, it had failed.
        """
        if trade.state is TradeState.REVERSED:
            raise AcpRefusedError("46")
        if trade.is_cancelled or trade.reserved_fen:
            raise AcpRefusedError("45")
        if trade.state is TradeState.FAILED:
            raise AcpRefusedError("35")
        self._move(trade, TradeState.REVERSED, self._switches.reversed_code)

    def _touch(self, trade: Trade | None, now_us: int) -> Trade | None:
        # Lazily: nobody can see a trade between its expiry and the next touch.
        if trade is not None and trade.state is TradeState.PENDING and now_us >= trade.expire_us:
            self._move(trade, TradeState.FAILED, self._switches.expired_code)
        return trade

    def _move(self, trade: Trade, state: TradeState, code: str) -> None:
        trade.state = state
        trade.code = code
        self._on_move(trade)
