"""Callbacks of the gateway: verified, then applied; refused with 4xx when they are not authentic or not ours.

The gateway repeats a callback until it is answered with 200 or 204 within 5 s, so everything slow is left to the
outbox, and everything here may come twice, late, early or out of order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

from reference.backend.core import Core
from reference.backend.gateways.port import (
    InvoiceReport,
    Notice,
    NoticeRefusedError,
    RefundReport,
    TradeReport,
)
from reference.backend.private_numbers import refuse_numbers

__all__ = ["Callbacks"]


class Callbacks:
    """Opens and applies notices."""

    def __init__(self, core: Core) -> None:
        self.core = core

    async def take(self, headers: Mapping[str, str], body: bytes) -> None:
        """Verify, decrypt and apply one callback.

        Raises:
            NoticeRefusedError: not authentic, unreadable, or not about a payment, refund or invoice of ours.
        """
        try:
            notice = self.core.gateway.open_notice(headers, body)
        except NoticeRefusedError as error:
            if not error.may_learn:
                raise
            await self.core.gateway.learn_keys()
            notice = self.core.gateway.open_notice(headers, body)
        await self.apply(notice)

    async def take_unionpay(self, body: bytes) -> None:
        """The same for UnionPay, whose notices carry their proof in the body.

        Raises:
            NoticeRefusedError: as above, or UnionPay is not configured.
        """
        if self.core.unionpay is None:
            raise NoticeRefusedError("this service takes no payments over UnionPay")
        await self.apply(self.core.unionpay.open_notice(body))

    async def apply(self, notice: Notice) -> None:
        """Apply a verified notice by its event type. Types that we do not know are accepted and ignored.

        Raises:
            NoticeRefusedError: not about anything of ours, or a card or phone number stands where an identifier should.
        """
        for report in (notice.trade, notice.refund, notice.invoice):
            if report is not None:
                _refuse_numbers(report)
        if notice.trade is not None and notice.event_type == "TRANSACTION.FAIL":
            await self.core.attempts.told_failed(notice.trade.out_trade_no)
        elif notice.trade is not None:
            if notice.trade.state not in {"SUCCESS", "REFUND"}:
                raise NoticeRefusedError(f"a success notice whose trade_state is {notice.trade.state}")
            await self.core.payments.apply(notice.trade, "callback")
        elif notice.refund is not None:
            await self.core.refunds.apply(notice.refund, is_notice=True)
        elif notice.invoice is not None and notice.event_type == "FAPIAO.ISSUED":
            # Nothing else moves anything: a late USER_APPLIED must not move an issued invoice back.
            await self.core.invoices.noticed(notice.id, notice.invoice)
        elif notice.invoice is not None and notice.event_type == "FAPIAO.REVERSED":
            await self.core.red_letters.noticed(notice.invoice)


def _refuse_numbers(report: TradeReport | RefundReport | InvoiceReport) -> None:
    """What a gateway calls things by is kept; the words of a reason are not."""
    try:
        refuse_numbers(
            ((field.name, getattr(report, field.name)) for field in fields(report)), but=frozenset({"reason"})
        )
    except ValueError as error:
        raise NoticeRefusedError(str(error)) from None
