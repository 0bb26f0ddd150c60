"""Refunds that need a person: sent on to another account, or paid out in cash at the station, each once and on record.

The danger is money that goes back twice. So the gateway is asked before either is done, and what it says counts; while a
call to send a refund on may still take effect, no cash is paid. No card number comes here: what the gateway needs of the
payer's card is encrypted for it by whoever types it in, is passed on in the same call, and is kept nowhere.
"""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any, ClassVar, Final, Literal, NamedTuple

from pydantic import StringConstraints, field_validator, model_validator
from sqlalchemy import Row, bindparam, select, update

from reference.backend.core import Core
from reference.backend.errors import ApiError
from reference.backend.gateways.port import (
    GatewayRefusedError,
    GatewayUnknownError,
    GatewayUnreachableError,
    NoticeRefusedError,
    RefundReport,
    SealedCard,
)
from reference.backend.models import Text80, Token
from reference.backend.private_numbers import StrictModel
from reference.backend.refunds.desk import refund_fields
from reference.backend.refunds.schema import refund_remedies
from reference.backend.store.database import Transaction

__all__ = ["PaidInCash", "RefundRemedies", "SealedCardBody", "SentOn"]

_ONE = select(refund_remedies).where(
    refund_remedies.c.out_refund_no == bindparam("number"),
    refund_remedies.c.client_token == bindparam("token"),
)
_IN_FLIGHT = (
    select(refund_remedies.c.asked_us)
    .where(refund_remedies.c.out_refund_no == bindparam("number"), refund_remedies.c.state == "asked")
    .order_by(refund_remedies.c.asked_us.desc())
    .limit(1)
)
_THIS = (
    refund_remedies.c.out_refund_no == bindparam("number"),
    refund_remedies.c.client_token == bindparam("token"),
)
_ASKED = update(refund_remedies).where(*_THIS).values(state="asked", asked_us=bindparam("now_us"))
_ENDED = update(refund_remedies).where(*_THIS).values(state=bindparam("new_state"))
_CASH: Final = "CASH"
# So long a call whose answer was lost may still be under way; far more than any time-out in between.
_IN_FLIGHT_US: Final = 600_000_000
# The first look after a call begins when the call is over, however slow it was.
_LOOK_US: Final = 60_000_000
_KEY_BYTES: Final = frozenset({256, 384, 512})

Sealed = Annotated[str, StringConstraints(min_length=344, max_length=684)]


class SealedCardBody(StrictModel):
    """The payer's bank card: number and name encrypted for the platform (RSA-OAEP, base64), and for which of its keys."""

    # They are ciphertext, which is made sure of below; and the serial of a key is longer than any card's number.
    numbers_by_right: ClassVar[frozenset[str]] = frozenset({"bank_account", "real_name", "serial"})

    bank_type: Annotated[str, StringConstraints(pattern=r"^[A-Z]{2,10}_DEBIT$", max_length=16)]
    bank_account: Sealed
    real_name: Sealed
    serial: Annotated[str, StringConstraints(pattern=r"^(?:[0-9A-F]{32,40}|PUB_KEY_ID_[0-9]{20,40})$")]

    @field_validator("bank_account", "real_name")
    @classmethod
    def _is_sealed(cls, text: str) -> str:
        try:
            raw = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raise ValueError("encrypt it for the platform (RSA-OAEP) and give it in base64") from None
        if len(raw) not in _KEY_BYTES or raw.isascii():
            raise ValueError(
                "this is not what RSA-OAEP for the platform gives; nothing in clear is taken here"
            )
        return text


class SentOn(StrictModel):
    """Send an abnormal refund on: to the merchant's own account, or to a card of the payer's. A repeat of the token is harmless."""

    client_token: Token
    operator: Text80
    reason: Text80
    to: Literal["MERCHANT_BANK_CARD", "USER_BANK_CARD"]
    card: SealedCardBody | None = None

    @model_validator(mode="after")
    def _card_fits(self) -> SentOn:
        if (self.card is None) != (self.to == "MERCHANT_BANK_CARD"):
            raise ValueError("a card belongs to USER_BANK_CARD, and to nothing else")
        return self


class PaidInCash(StrictModel):
    """A refund was paid out in cash at the station, by ``operator``. A repeat of the token is harmless."""

    client_token: Token
    operator: Text80
    reason: Text80


class _Begun(NamedTuple):
    """A call that is on record: when it began (Unix µs), and whether an earlier one with its token may still take effect."""

    asked_us: int
    is_repeat: bool


class RefundRemedies:
    """What a person does about a refund that is ABNORMAL or HELD."""

    def __init__(self, core: Core) -> None:
        self.core = core

    async def send_on(self, number: str, body: SentOn) -> dict[str, Any]:
        """Have the gateway pay an abnormal refund to another account. PROCESSING is not the end of it.

        Raises:
            ApiError: 404; 409 ``token_reused`` for something else, ``not_abnormal``, ``not_offered`` by the gateway that
                the money came through; 502 ``gateway_refused``, and nothing was done; 503 ``gateway_silent``: it may
                have been done, ask again with the same token.
        """
        row = await self.core.db.run(lambda tx: self._open(tx, number, body.client_token, body.to))
        if isinstance(row, dict):
            return row
        sender = self.core.channels.sender_on(row.channel)
        if sender is None:
            raise ApiError(
                409, "not_offered", f"a refund over {row.channel} cannot be sent on; it can be paid in cash"
            )
        if row.state != "ABNORMAL" or row.refund_id is None:
            raise ApiError(409, "not_abnormal", f"the refund is {row.state}; only an abnormal one is sent on")
        await self._still_abnormal(row)
        begun = await self.core.db.run(lambda tx: self._begin(tx, number, body))
        if begun is None:
            raise ApiError(409, "not_abnormal", "somebody else has just seen to this refund")
        card = None if body.card is None else SealedCard(**body.card.model_dump())
        try:
            report = await sender.pay_elsewhere(refund_id=row.refund_id, out_refund_no=number, card=card)
        except GatewayUnreachableError as error:
            await self._nothing_done(number, body.client_token, begun)
            raise ApiError(503, "gateway_silent", f"the gateway was not reached: {error}") from error
        except GatewayRefusedError as error:
            await self._nothing_done(number, body.client_token, begun)
            raise ApiError(502, "gateway_refused", f"the gateway refused: {error}") from error
        except GatewayUnknownError as error:
            told = f"the gateway may have taken it; ask again with the same client_token: {error}"
            raise ApiError(503, "gateway_silent", told) from error
        values = {"number": number, "token": body.client_token, "new_state": "accepted"}
        await self.core.db.run(lambda tx: tx.execute(_ENDED, values))
        await self._apply(report)
        return refund_fields(await self.core.db.run(lambda tx: self._row(tx, number)))

    async def pay_cash(self, number: str, body: PaidInCash) -> tuple[bool, dict[str, Any]]:
        """A refund was paid out at the station: (is it new, the refund). It counts as given back, once, in cash.

        Raises:
            ApiError: 404; 409 ``token_reused``, ``not_settleable`` unless it is HELD or ABNORMAL (here and at the
                gateway), ``too_early`` while a call to send it on may still take effect; 502, 503 if the gateway cannot
                say how it stands.
        """
        row = await self.core.db.run(lambda tx: self._open(tx, number, body.client_token, _CASH))
        if isinstance(row, dict):
            return False, row
        if row.sent_us is not None:
            await self._still_abnormal(row)
        seen = (row.state, row.sent_us, row.updated_us)
        return await self.core.db.run(lambda tx: self._settle(tx, number, body, seen))

    async def try_again(self, number: str) -> dict[str, Any]:
        """Somebody saw to what held a refund, or wants to know of an abnormal one: look and send again, soon. Others are left alone.

        Raises:
            ApiError: 404.
        """

        async def work(tx: Transaction) -> Row[Any]:
            row = await self.core.refunds.lock(tx, number)
            if row is None:
                raise ApiError(404, "unknown_refund", f"there is no refund {number}", "out_refund_no")
            if row.state not in {"HELD", "ABNORMAL"}:
                return row
            topic = "refund.look"
            if row.state == "HELD":
                await self.core.refunds.move(tx, row, "PENDING")
                topic = "refund.send"
            await self.core.outbox.put(tx, topic, number, key=f"{topic}/{number}/{self.core.clock_us()}")
            return await self._row(tx, number)

        return refund_fields(await self.core.db.run(work))

    # Steps

    async def _open(self, tx: Transaction, number: str, token: str, kind: str) -> Row[Any] | dict[str, Any]:
        """The refund; or what is shown of it where this token has done its work."""
        row = await self.core.refunds.lock(tx, number)
        if row is None:
            raise ApiError(404, "unknown_refund", f"there is no refund {number}", "out_refund_no")
        known = await tx.first(_ONE, {"number": number, "token": token})
        if known is not None and known.kind != kind:
            raise ApiError(409, "token_reused", f"this token asked for {known.kind}", "client_token")
        if known is not None and (known.state in {"accepted", "done"} or row.state != "ABNORMAL"):
            return refund_fields(row)
        if kind == _CASH:
            self._settleable(row)
            await self._nothing_in_flight(tx, number)
        return row

    async def _begin(self, tx: Transaction, number: str, body: SentOn) -> _Begun | None:
        """Put the call on record, and make sure that somebody looks how it ended, before it is made.

        None: the refund is not ours to send on.
        """
        row = await self.core.refunds.lock(tx, number)
        if row is None or row.state != "ABNORMAL":
            return None
        ours = {"number": number, "token": body.client_token}
        known = await tx.first(_ONE, ours)
        asked_us = self.core.clock_us()
        if known is None:
            await self._record(tx, row, body, body.to, "asked", asked_us)
        else:
            # Each call has its own, even if the clock was set back.
            asked_us = max(asked_us, known.asked_us + 1)
            await tx.execute(_ASKED, ours | {"now_us": asked_us})
        await self._reopen(tx, row)
        return _Begun(asked_us, is_repeat=known is not None and known.state == "asked")

    async def _settle(
        self, tx: Transaction, number: str, body: PaidInCash, seen: tuple[str, int | None, int]
    ) -> tuple[bool, dict[str, Any]]:
        found = await self.core.refunds.row(tx, number)
        order = await self.core.orders.lock(tx, found.order_id) if found is not None else None
        row = await self.core.refunds.lock(tx, number)
        assert order is not None  # noqa: S101 - refunds name orders that are there
        assert row is not None  # noqa: S101 - it was there before, and refunds stay
        if await tx.first(_ONE, {"number": number, "token": body.client_token}) is not None:
            return False, refund_fields(row)
        if (row.state, row.sent_us, row.updated_us) != seen:
            raise ApiError(409, "not_settleable", f"the refund has just changed to {row.state}; look again")
        await self._nothing_in_flight(tx, number)
        await self._record(tx, row, body, _CASH, "done", self.core.clock_us())
        await self.core.refunds.paid_in_cash(tx, order, row, body.operator)
        return True, refund_fields(await self._row(tx, number))

    async def _record(
        self,
        tx: Transaction,
        row: Row[Any],
        body: SentOn | PaidInCash,
        kind: str,
        state: str,
        asked_us: int,
    ) -> None:
        await tx.insert(
            refund_remedies,
            {
                "out_refund_no": row.out_refund_no,
                "client_token": body.client_token,
                "kind": kind,
                "state": state,
                "order_id": row.order_id,
                "operator": body.operator,
                "note": body.reason,
                "amount_fen": row.amount_fen,
                "instance": self.core.instance,
                "asked_us": asked_us,
            },
        )

    def _settleable(self, row: Row[Any]) -> None:
        if row.state not in {"HELD", "ABNORMAL"}:
            raise ApiError(
                409,
                "not_settleable",
                f"the refund is {row.state}; only a held or abnormal one is paid in cash",
            )

    async def _nothing_in_flight(self, tx: Transaction, number: str) -> None:
        asked = await tx.first(_IN_FLIGHT, {"number": number})
        wait_us = 0 if asked is None else asked.asked_us + _IN_FLIGHT_US - self.core.clock_us()
        if wait_us > 0:
            told = f"the gateway may still send this refund on; pay no cash for another {wait_us // 1_000_000 + 1} s"
            raise ApiError(409, "too_early", told)

    async def _still_abnormal(self, row: Row[Any]) -> None:
        """Ask the gateway before money moves. Raises `ApiError` if the refund is anything but abnormal there."""
        try:
            report = await self.core.channels.refunder(row.channel).query_refund(row.out_refund_no)
        except GatewayUnknownError as error:
            raise ApiError(
                503, "gateway_silent", f"the gateway does not say how the refund stands: {error}"
            ) from error
        except GatewayRefusedError as error:
            raise ApiError(
                502, "gateway_refused", f"the gateway refused to say how it stands: {error}"
            ) from error
        state = report.state if report is not None else "unknown"
        if state == "ABNORMAL":
            return
        if report is not None:
            if state == "PROCESSING":
                await self.core.db.run(lambda tx: self._under_way(tx, row.out_refund_no))
            await self._apply(report)
        raise ApiError(409, "not_abnormal", f"the refund is {state} at the gateway: nothing was done")

    async def _under_way(self, tx: Transaction, number: str) -> None:
        """Somebody has sent it on at the platform itself."""
        row = await self.core.refunds.lock(tx, number)
        if row is not None and row.state == "ABNORMAL":
            await self._reopen(tx, row)

    async def _reopen(self, tx: Transaction, row: Row[Any]) -> None:
        """The gateway is at it again: look until its end is known."""
        await self.core.refunds.move(tx, row, "PROCESSING")
        key = f"refund.send/{row.out_refund_no}/{self.core.clock_us()}"
        await self.core.outbox.put(tx, "refund.send", row.out_refund_no, key=key, delay_us=_LOOK_US)

    async def _nothing_done(self, number: str, token: str, begun: _Begun) -> None:
        """This call had no effect. An earlier one with the same token still may, so then the remedy stays asked.

        And a later one has taken the remedy over: then how it stands is for that call to say.
        """

        async def work(tx: Transaction) -> None:
            row = await self.core.refunds.lock(tx, number)
            remedy = await tx.first(_ONE, {"number": number, "token": token})
            if remedy is None or remedy.asked_us != begun.asked_us:
                return
            if not begun.is_repeat:
                await tx.execute(_ENDED, {"number": number, "token": token, "new_state": "refused"})
            if row is not None and row.state == "PROCESSING":
                await self.core.refunds.move(tx, row, "ABNORMAL")

        await self.core.db.run(work)

    async def _apply(self, report: RefundReport) -> None:
        try:
            await self.core.refunds.apply(report)
        except NoticeRefusedError as error:  # an alarm is on record
            raise ApiError(
                502, "gateway_refused", f"the gateway speaks of another refund: {error}"
            ) from error

    async def _row(self, tx: Transaction, number: str) -> Row[Any]:
        row = await self.core.refunds.row(tx, number)
        assert row is not None  # noqa: S101 - it was there before, and refunds stay
        return row
