"""Back notices: a signed form, sent up to five times until the merchant answers 200 or 302."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Final

import httpx

from protocols.unionpay import Fields, encode_form
from sim.kernel import Kernel
from sim.unionpay.faults import FaultKind, UnionPayFaults
from sim.unionpay.ledger import Trade
from sim.unionpay.material import MerchantAccount
from sim.unionpay.profile import NOTICE_LADDERS_S, Switches
from sim.unionpay.replies import Signer

__all__ = ["ANSWER_LIMIT_S", "Notice", "Notifier"]

ANSWER_LIMIT_S: Final = 10
"""A merchant that has not answered by then has not answered."""
_TAKEN: Final = frozenset({"200", "302"})
"""Statuses that count as heard, as UnionPay's own sample shops say beside ``backUrl``; a redirection is not followed."""
_KEPT = 10_000  # notices remembered for the control API


@dataclass(slots=True, eq=False)
class Notice:
    """One notice and what became of it. Times are microseconds on the run's clock.

    Attributes:
        order_id: of the trade it announces.
        kind: of that trade.
        attempts: ``(started, outcome)``: a status, ``timeout``, ``lost`` or ``unreachable``.
        delivered_us: when the merchant answered 200 or 302; None so far, or for good once ``given_up``.
        is_forged: made by a fault; the platform knows nothing of it.
    """

    order_id: str
    kind: str
    url: str
    attempts: list[tuple[int, str]] = field(default_factory=list)
    delivered_us: int | None = None
    given_up: bool = False
    is_forged: bool = False


class Notifier:
    """Sends the notices of one gateway: at least once, perhaps never; only for what succeeded.

    Args:
        kernel: clock, streams and trace.
        entity: name in trace and streams.
        client: reaches merchants' URLs; whoever builds it decides what is reachable, because the URLs come from merchants.
        signer: signs each notice.
        faults: the gateway's faults.
        switches: the ladder.
    """

    def __init__(
        self,
        kernel: Kernel,
        entity: str,
        client: httpx.AsyncClient,
        *,
        signer: Signer,
        faults: UnionPayFaults,
        switches: Switches,
    ) -> None:
        self._kernel = kernel
        self._entity = entity
        self._client = client
        self._signer = signer
        self._faults = faults
        self._ladder_s = NOTICE_LADDERS_S[switches.notice_ladder]
        self.notices: deque[Notice] = deque(maxlen=_KEPT)

    def announce(
        self, trade: Trade, account: MerchantAccount, fields: Fields, *, delay_us: int = 0
    ) -> asyncio.Event:
        """Start telling the merchant; the event is set when the first send is over, whatever came of it."""
        notice = Notice(trade.order_id, trade.kind, trade.back_url)
        self.notices.append(notice)
        body = encode_form(self._signer.sign(fields, account))
        late = self._faults.draw(FaultKind.NOTICE_LATE, trade.kind)
        if late is not None:
            delay_us += late.spec.delay_us
            self._faults.land(late, order_id=trade.order_id)
        first_done = asyncio.Event()
        self._kernel.spawn(
            self._climb(notice, body, delay_us, first_done), f"unionpay-notice-{trade.query_id}"
        )
        return first_done

    def forge(self, trade: Trade, account: MerchantAccount, fields: Fields, forgery: str) -> None:
        """Send a notice once that the merchant must refuse."""
        notice = Notice(trade.order_id, trade.kind, trade.back_url, is_forged=True)
        self.notices.append(notice)
        body = encode_form(self._signer.sign(fields, account, forgery))
        self._kernel.spawn(self._send_alone(notice, body, 0), f"unionpay-forged-{trade.query_id}")

    async def _climb(self, notice: Notice, body: bytes, delay_us: int, first_done: asyncio.Event) -> None:
        lost = self._faults.draw(FaultKind.NOTICE_LOST, notice.kind)
        doubled = self._faults.draw(FaultKind.NOTICE_DUPLICATE, notice.kind)
        if delay_us:
            await asyncio.sleep(delay_us / 1_000_000)
        if doubled is not None:
            rng = self._kernel.streams.get(self._entity, f"fault/{doubled.name}/spread")
            for _ in range(doubled.spec.copies):
                self._faults.land(doubled, order_id=notice.order_id)
                copy_delay_us = rng.randint(0, doubled.spec.delay_us)
                self._kernel.spawn(self._send_alone(notice, body, copy_delay_us), "unionpay-notice-copy")
        for number, wait_s in enumerate((*self._ladder_s, None), start=1):
            started_us = self._kernel.now_us
            if lost is not None and (lost.spec.attempts == 0 or number <= lost.spec.attempts):
                self._faults.land(lost, order_id=notice.order_id, attempt=number)
                outcome = "lost"
            else:
                outcome = await self._send(notice, body)
            self._note(notice, started_us, outcome, number)
            first_done.set()
            if outcome in _TAKEN:
                notice.delivered_us = self._kernel.now_us
                return
            if wait_s is not None:
                # From one send to the next, but a slow answer is waited for; whether it pushes the ladder is unproven.
                left_s = wait_s - (self._kernel.now_us - started_us) / 1_000_000
                await asyncio.sleep(max(0.0, left_s))
        notice.given_up = True
        self._kernel.trace.emit("unionpay.notice-given-up", self._entity, order_id=notice.order_id)

    async def _send_alone(self, notice: Notice, body: bytes, delay_us: int) -> None:
        if delay_us:
            await asyncio.sleep(delay_us / 1_000_000)
        started_us = self._kernel.now_us
        self._note(notice, started_us, await self._send(notice, body), 0)

    async def _send(self, notice: Notice, body: bytes) -> str:
        headers = {"Content-Type": "application/x-www-form-urlencoded;charset=UTF-8"}
        try:
            async with asyncio.timeout(ANSWER_LIMIT_S):
                reply = await self._client.post(notice.url, content=body, headers=headers, timeout=None)
        except TimeoutError:
            return "timeout"
        except (httpx.HTTPError, httpx.InvalidURL):
            return "unreachable"
        return str(reply.status_code)

    def _note(self, notice: Notice, started_us: int, outcome: str, number: int) -> None:
        notice.attempts.append((started_us, outcome))
        self._kernel.trace.emit(
            "unionpay.notice",
            self._entity,
            order_id=notice.order_id,
            of=notice.kind,
            attempt=number,
            sent_us=started_us,
            outcome=outcome,
            forged=notice.is_forged,
        )
