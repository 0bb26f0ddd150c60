"""The tax platform behind the payment platform: accepts, issues after a while, tells, and fails as told."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Final, Protocol

from protocols.fapiao import (
    EVENT_ISSUED,
    EVENT_REVERSED,
    MAX_TRIES,
    FapiaoEvent,
    FapiaoState,
    IssueRequest,
    parse_issue_request,
    parse_reverse_request,
)
from protocols.wechatpay import ApiError, parse_body
from sim.kernel import Kernel
from sim.latency import LatencyProfile
from sim.taxplatform.app import SignReply, TaxApp, VerifyRequest
from sim.taxplatform.bureau import TaxBureau
from sim.taxplatform.faults import TaxFault
from sim.taxplatform.registry import Application, Fapiao, Seller, figures_of, litres_e8

__all__ = ["ISSUE_LATENCY", "REVERSE_LATENCY", "Announce", "TaxPlatform"]

ISSUE_LATENCY: Final = LatencyProfile.lognormal(600_000, 1_800_000)
"""Accepted to issued and pushed: the declared reference platform, median 600 ms, p99 1.8 s."""

REVERSE_LATENCY: Final = LatencyProfile.uniform(10_000_000, 15_000_000)
"""A red letter takes 10-15 s on real middleware."""


class Announce(Protocol):
    """Sends an event to a merchant: seals, signs, pushes and retries (`sim.wechatpay` has all of it)."""

    def __call__(
        self,
        mchid: str,
        url: str,
        *,
        event_type: str,
        summary: str,
        resource: Mapping[str, object],
        subject: str,
    ) -> object:
        """Begin to tell ``mchid`` at ``url``; return at once."""


class TaxPlatform:
    """The platform that issues fuel invoices.

    Args:
        kernel: clock, streams and trace.
        sellers: the merchants that may issue.
        verify_request: checks a request's signature and names the merchant, or raises `ApiError`.
        sign_reply: headers that sign a reply.
        announce: sends events.
        latency: accepted to issued.
        faults: its schedule of faults.
        entity: name in trace and streams.
        channel: channel digit of the invoice numbers.
        bureau: the tax bureau behind it, when several platforms share one; it then has the faults and the channel digit.

    Attributes:
        app: the ASGI application.
        bureau: numbers, stock, credit line and faults.
        applications: (mchid, fapiao_apply_id) -> application, in order of arrival.

    Raises:
        ValueError: two sellers with one merchant number, or faults beside a shared bureau.
        FaultError: two faults of one name.
    """

    def __init__(
        self,
        kernel: Kernel,
        sellers: Iterable[Seller],
        *,
        verify_request: VerifyRequest,
        sign_reply: SignReply,
        announce: Announce,
        latency: LatencyProfile = ISSUE_LATENCY,
        faults: Iterable[TaxFault] = (),
        entity: str = "taxplatform",
        channel: int = 2,
        bureau: TaxBureau | None = None,
    ) -> None:
        if bureau is not None and (faults := tuple(faults)):
            raise ValueError(
                "a platform that shares a bureau has no faults of its own: give them to the bureau"
            )
        self._kernel = kernel
        self._entity = entity
        self._announce = announce
        self._latency = latency
        self._rng: random.Random = kernel.streams.get(entity, "issue")
        self._reverse_rng: random.Random = kernel.streams.get(entity, "reverse")
        self.sellers: dict[str, Seller] = {}
        for seller in sellers:
            if seller.mchid in self.sellers:
                raise ValueError(f"two sellers have the merchant number {seller.mchid}")
            self.sellers[seller.mchid] = seller
        self.applications: dict[tuple[str, str], Application] = {}
        self.bureau = bureau or TaxBureau(kernel, faults=faults, entity=entity, channel=channel)
        self.app = TaxApp(self, verify_request, sign_reply)

    # -- what the endpoints do ------------------------------------------------------------------------------------

    @property
    def kernel(self) -> Kernel:
        """Its clock, streams and trace."""
        return self._kernel

    def issue(self, mchid: str, raw_body: bytes) -> None:
        """POST issue-refined-oil. A repeat of what is known changes nothing.

        Raises:
            ApiError: the refusal.
        """
        seller = self._seller(mchid)
        requests = parse_issue_request(parse_body(raw_body))
        key = (mchid, requests[0].fapiao_apply_id)
        application = self.applications.get(key)
        if application is not None and self._is_repeat(application, requests):
            self._emit("fapiao.repeated", apply_id=key[1])
            return
        for request in requests:
            self._check_lines(request)
        if application is not None:
            self._check_retry(application, requests)
        self._take_credit(seller, requests)
        if application is None:
            application = self.applications[key] = Application(mchid, key[1])
        now_us = self._kernel.now_us
        batch = tuple(Fapiao(request, figures_of(request), now_us) for request in requests)
        application.fapiaos |= {fapiao.request.fapiao_id: fapiao for fapiao in batch}
        total_fen = sum(request.gross_fen for request in requests)
        self._emit("fapiao.accepted", apply_id=key[1], gross_fen=total_fen)
        self._kernel.call_later(self._latency.draw(self._rng), self._issue_batch, application, batch)

    def find(self, mchid: str, fapiao_apply_id: str) -> Application:
        """GET one application.

        Raises:
            ApiError: 404 RESOURCE_NOT_EXISTS; another merchant's application does not exist either.
        """
        application = self.applications.get((mchid, fapiao_apply_id))
        if application is None:
            raise ApiError(404, "RESOURCE_NOT_EXISTS", "发票申请单不存在")
        return application

    def reverse(self, mchid: str, fapiao_apply_id: str, raw_body: bytes) -> None:
        """POST reverse: a red letter for all that was issued. A repeat changes nothing.

        Raises:
            ApiError: the refusal.
        """
        reason = parse_reverse_request(parse_body(raw_body))
        application = self.find(mchid, fapiao_apply_id)
        states = {fapiao.state for fapiao in application.open_or_issued}
        if states & {FapiaoState.REVERSE_ACCEPTED, FapiaoState.REVERSED}:
            return
        batch = tuple(f for f in application.open_or_issued if f.state is not FapiaoState.ISSUE_ACCEPTED)
        if not batch or FapiaoState.ISSUE_ACCEPTED in states:
            raise ApiError(400, "INVALID_REQUEST", "发票未开具成功，不能冲红")
        application.reverse_reason = reason
        for fapiao in batch:
            fapiao.move(FapiaoEvent.REVERSE)
        self._emit("fapiao.reverse-accepted", apply_id=fapiao_apply_id, reason=reason)
        delay_us = REVERSE_LATENCY.draw(self._reverse_rng)
        self._kernel.call_later(delay_us, self._finish_reverse, application, batch)

    def take_up(self, mchid: str, fapiao_apply_id: str, *, agrees: bool = False) -> None:
        """The buyer has used the invoice and does not agree to a red letter, or (``agrees``) does so now.

        The platform shows no confirmation form; a red letter that was not agreed to ends as REVERSE_FAILED.

        Raises:
            ApiError: 404, as in `find`.
        """
        self.find(mchid, fapiao_apply_id).taken_up = not agrees

    def _seller(self, mchid: str) -> Seller:
        seller = self.sellers.get(mchid)
        if seller is None:
            raise ApiError(403, "NO_AUTH", "商户未开通电子发票权限")
        return seller

    @staticmethod
    def _is_repeat(application: Application, requests: tuple[IssueRequest, ...]) -> bool:
        known = [application.fapiaos.get(request.fapiao_id) for request in requests]
        if all(old is not None and old.request == new for old, new in zip(known, requests, strict=True)):
            return True
        if any(old is not None for old in known):
            raise ApiError(400, "INVALID_REQUEST", "商户发票单号已存在，且请求参数不一致")
        return False

    @staticmethod
    def _check_retry(application: Application, requests: tuple[IssueRequest, ...]) -> None:
        if application.open_or_issued:
            raise ApiError(400, "INVALID_REQUEST", "发票申请单已存在，且请求参数不一致")
        if len(application.fapiaos) + len(requests) > MAX_TRIES:
            raise ApiError(400, "INVALID_REQUEST", f"同一发票申请单最多尝试{MAX_TRIES}次")

    @staticmethod
    def _check_lines(request: IssueRequest) -> None:
        try:
            figures_of(request)
        except ValueError as error:
            raise ApiError(400, "INVALID_REQUEST", f"发票行数量或金额不合理: {error}") from None

    def _take_credit(self, seller: Seller, requests: tuple[IssueRequest, ...]) -> None:
        total_fen = sum(request.gross_fen for request in requests)
        if not self.bureau.take_credit(seller, total_fen, requests[0].fapiao_apply_id):
            raise ApiError(400, "BIZ_ERROR", "授信额度不足，请联系主管税务机关")

    # -- issuing ----------------------------------------------------------------------------------------------------

    def _issue_batch(self, application: Application, batch: tuple[Fapiao, ...]) -> None:
        subject = application.fapiao_apply_id
        if self.bureau.hold(subject, partial(self._issue_batch, application, batch)):
            return
        seller = self.sellers[application.mchid]
        reason = self.bureau.take_stock(seller, _litres(batch), subject)
        for fapiao in batch:
            fapiao.ended_us = self._kernel.now_us
            if reason:
                fapiao.reason = reason
                fapiao.move(FapiaoEvent.REFUSE)
            else:
                fapiao.number = self.bureau.next_number()
                fapiao.issued_unix_us = self._kernel.unix_us
                fapiao.move(FapiaoEvent.ISSUE)
        if reason:
            self.bureau.give_credit(seller, sum(fapiao.request.gross_fen for fapiao in batch))
            self._emit("fapiao.failed", apply_id=subject, reason=reason)
            return  # the documentation names no event for a failure: the merchant must query
        waited_us = self._kernel.now_us - batch[0].accepted_us
        self._emit("fapiao.issued", apply_id=subject, numbers=[f.number for f in batch], after_us=waited_us)
        self._tell(application, batch, EVENT_ISSUED, "发票开具成功")

    def _finish_reverse(self, application: Application, batch: tuple[Fapiao, ...]) -> None:
        subject = application.fapiao_apply_id
        if self.bureau.hold(subject, partial(self._finish_reverse, application, batch)):
            return
        if application.taken_up:
            for fapiao in batch:
                fapiao.move(FapiaoEvent.RED_REFUSED)
            self._emit("fapiao.reverse-failed", apply_id=subject)
            return
        seller = self.sellers[application.mchid]
        for fapiao in batch:
            fapiao.red_number = self.bureau.next_number()
            fapiao.move(FapiaoEvent.RED_ISSUED)
        self.bureau.return_stock(seller, _litres(batch))
        numbers = [fapiao.red_number for fapiao in batch]
        self._emit("fapiao.reversed", apply_id=application.fapiao_apply_id, numbers=numbers)
        self._tell(application, batch, EVENT_REVERSED, "发票冲红成功")

    def _tell(self, application: Application, batch: tuple[Fapiao, ...], event: str, summary: str) -> None:
        resource: dict[str, object] = {
            "mchid": application.mchid,
            "fapiao_apply_id": application.fapiao_apply_id,
            "fapiao_information": [
                {"fapiao_id": fapiao.request.fapiao_id, "fapiao_status": str(fapiao.state)}
                for fapiao in batch
            ],
        }
        self._announce(
            application.mchid,
            self.sellers[application.mchid].notify_url,
            event_type=event,
            summary=summary,
            resource=resource,
            subject=application.fapiao_apply_id,
        )

    # -- faults: the bureau's --------------------------------------------------------------------------------------

    def arm(self, spec: TaxFault) -> None:
        """Add a fault by hand; see `TaxBureau.arm`."""
        self.bureau.arm(spec)

    def disarm(self, name: str) -> None:
        """Take a fault away; see `TaxBureau.disarm`."""
        self.bureau.disarm(name)

    def fault_report(self) -> dict[str, dict[str, int]]:
        """``{name: {"landed": hits, "held": invoices waiting}}``, those taken away included."""
        return self.bureau.fault_report()

    def _emit(self, kind: str, **fields: Any) -> None:
        self._kernel.trace.emit(kind, self._entity, **fields)


def _litres(batch: Iterable[Fapiao]) -> dict[str, int]:
    """Litres x 10^8 by tax code."""
    litres: dict[str, int] = {}
    for fapiao in batch:
        for line in fapiao.request.lines:
            litres[line.tax_code] = litres.get(line.tax_code, 0) + litres_e8(line)
    return litres
