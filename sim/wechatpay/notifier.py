"""Callbacks: sealed, signed, sent, and sent again for a day until the merchant says yes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import httpx

from protocols.wechatpay import build_notification, rfc3339
from sim.faults import ArmedFault
from sim.kernel import Kernel
from sim.net import NetworkClient
from sim.wechatpay.faults import FaultKind, Forgery, GatewayFault, WeChatPayFaults
from sim.wechatpay.ids import Ids
from sim.wechatpay.material import MerchantAccount
from sim.wechatpay.replies import Signer
from sim.wechatpay.switch_over import SwitchOver

__all__ = ["ANSWER_LIMIT_S", "RETRY_LADDER_S", "Notice", "Notifier"]

RETRY_LADDER_S: Final = (
    15,
    15,
    30,
    180,
    600,
    1200,
    1800,
    1800,
    1800,
    3600,
    10800,
    10800,
    10800,
    21600,
    21600,
)
"""Waits between attempts of one notification, 24 h 4 min in all (WXDOC 4012791861)."""
ANSWER_LIMIT_S: Final = 5
"""A merchant that has not answered by then has not answered (WXDOC 4012791861)."""
_KEPT = 10_000  # notices remembered for the control API


@dataclass(slots=True, eq=False)
class Notice:
    """One notification and what became of it. Times are microseconds on the run's clock.

    Attributes:
        id: the same on each attempt.
        subject: merchant's order or refund number.
        attempts: ``(started, outcome)``: a status, ``timeout``, ``lost`` or ``unreachable``.
        has_certificates: whether the merchant has any key of the platform but the public one.
        delivered_us: when the merchant accepted; None so far, or for good once ``given_up``.
    """

    id: str
    event_type: str
    url: str
    subject: str
    attempts: list[tuple[int, str]] = field(default_factory=list)
    delivered_us: int | None = None
    given_up: bool = False
    has_certificates: bool = True


class Notifier:
    """Sends notifications of one gateway.

    Delivery is at least once and not guaranteed; duplicates and disorder are normal, so merchants must cope.

    Args:
        kernel: clock, streams and trace.
        entity: name in trace and streams.
        client: reaches merchants' URLs; whoever builds it decides what is reachable (a loopback proxy, the virtual
            network), because the URLs come from merchants.
        signer: signs each attempt anew.
        ids: notice ids and nonces.
        faults: the gateway's faults.
        switch_over: the share of public-key signatures.
    """

    def __init__(
        self,
        kernel: Kernel,
        entity: str,
        client: httpx.AsyncClient | NetworkClient,
        *,
        signer: Signer,
        ids: Ids,
        faults: WeChatPayFaults,
        switch_over: SwitchOver,
    ) -> None:
        self._kernel = kernel
        self._entity = entity
        self._client = client
        self._signer = signer
        self._ids = ids
        self._faults = faults
        self._switch_over = switch_over
        self.notices: deque[Notice] = deque(maxlen=_KEPT)

    def announce(
        self,
        account: MerchantAccount,
        url: str,
        *,
        event_type: str,
        summary: str,
        resource: Mapping[str, object],
        subject: str,
        original_type: str | None,
        delay_us: int = 0,
    ) -> asyncio.Event:
        """Start telling the merchant; the event is set when the first attempt is over, whatever came of it.

        Args:
            account: whose key seals the resource.
            url: the merchant's notify URL.
            event_type: ``TRANSACTION.SUCCESS`` and so on.
            summary: Chinese text for people.
            resource: what gets encrypted, as it is now.
            subject: number for trace and control API.
            original_type: None for invoice events.
            delay_us: until the first attempt leaves.
        """
        notice = Notice(
            self._ids.notice_id(),
            event_type,
            url,
            subject,
            has_certificates=account.has_platform_certificates,
        )
        self.notices.append(notice)
        body = build_notification(
            notice_id=notice.id,
            create_time=rfc3339(self._kernel.unix_us // 1_000_000),
            event_type=event_type,
            summary=summary,
            resource=resource,
            apiv3_key=account.apiv3_key,
            nonce=self._ids.nonce(12),
            associated_data=original_type or "",
            original_type=original_type,
        )
        late = self._faults.draw(FaultKind.CALLBACK_LATE, event=event_type)
        if late is not None:
            delay_us += late.spec.delay_us
            self._faults.land(late, subject=subject)
        first_done = asyncio.Event()
        self._kernel.spawn(self._climb(notice, body, delay_us, first_done), f"notify-{notice.id}")
        return first_done

    async def _climb(self, notice: Notice, body: bytes, delay_us: int, first_done: asyncio.Event) -> None:
        draw = self._faults.draw
        lost = draw(FaultKind.CALLBACK_LOST, event=notice.event_type)
        forged = draw(FaultKind.CALLBACK_SIGNATURE, event=notice.event_type)
        doubled = draw(FaultKind.CALLBACK_DUPLICATE, event=notice.event_type)
        await asyncio.sleep(delay_us / 1_000_000)
        for number, wait_s in enumerate((*RETRY_LADDER_S, None), start=1):
            started_us = self._kernel.now_us
            if lost is not None and _hits(lost.spec, number):
                self._faults.land(lost, subject=notice.subject, attempt=number)
                outcome = "lost"
            else:
                if doubled is not None and number == 1:
                    self._double(doubled, notice, body)
                outcome = await self._attempt(notice, body, number, forged)
            first_done.set()
            self._note(notice, started_us, outcome, number)
            if outcome in {"200", "204"}:
                notice.delivered_us = self._kernel.now_us
                return
            if wait_s is not None:
                # The ladder counts from one attempt to the next; that a slow answer does not push it back is unproven.
                await asyncio.sleep(wait_s - (self._kernel.now_us - started_us) / 1_000_000)
        notice.given_up = True
        self._kernel.trace.emit("wechatpay.callback-given-up", self._entity, subject=notice.subject)

    def _double(self, fault: ArmedFault[GatewayFault], notice: Notice, body: bytes) -> None:
        spec = fault.spec
        rng = self._kernel.streams.get(self._entity, f"fault/{fault.name}/spread")
        for _ in range(spec.copies):
            self._faults.land(fault, subject=notice.subject)
            delay_us = rng.randint(0, spec.delay_us)
            self._kernel.spawn(self._send_copy(notice, body, delay_us), f"notify-{notice.id}-copy")

    async def _send_copy(self, notice: Notice, body: bytes, delay_us: int) -> None:
        await asyncio.sleep(delay_us / 1_000_000)
        started_us = self._kernel.now_us
        outcome = await self._attempt(notice, body, 1, None)
        self._note(notice, started_us, outcome, 0)

    async def _attempt(
        self, notice: Notice, body: bytes, number: int, forged: ArmedFault[GatewayFault] | None
    ) -> str:
        forgery: str | None = None
        if forged is not None and _hits(forged.spec, number):
            forgery = forged.spec.forgery
            self._faults.land(forged, subject=notice.subject, attempt=number)
        rng = self._kernel.streams.get(self._entity, "callback-trust")
        permille = self._switch_over.permille(self._kernel.unix_us)
        key = self._signer.pick(None, permille, rng, has_certificates=notice.has_certificates)
        headers = {"Content-Type": "application/json", "User-Agent": "Mozilla/4.0", "Accept": "*/*"}
        headers |= self._signer.headers(key, body, None if forgery == Forgery.TAMPERED else forgery)
        sent = body.replace(b'"event_type":"', b'"event_type":" ', 1) if forgery == Forgery.TAMPERED else body
        try:
            async with asyncio.timeout(ANSWER_LIMIT_S):
                reply = await self._client.post(notice.url, content=sent, headers=headers, timeout=None)
        except TimeoutError:
            return "timeout"
        except (httpx.HTTPError, httpx.InvalidURL):
            return "unreachable"
        return str(reply.status_code)

    def _note(self, notice: Notice, started_us: int, outcome: str, number: int) -> None:
        notice.attempts.append((started_us, outcome))
        self._kernel.trace.emit(
            "wechatpay.callback",
            self._entity,
            event=notice.event_type,
            subject=notice.subject,
            attempt=number,
            sent_us=started_us,
            outcome=outcome,
        )


def _hits(spec: GatewayFault, attempt: int) -> bool:
    return spec.attempts == 0 or attempt <= spec.attempts
