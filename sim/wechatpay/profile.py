"""How fast the gateway is, and how it decides what public sources leave open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from protocols.wechatpay import Endpoint
from sim.latency import LatencyProfile

__all__ = ["GatewayProfile", "Switches"]


_REFERENCE = LatencyProfile.lognormal(80_000, 200_000)
_READ = LatencyProfile.lognormal(40_000, 120_000)
_CONFIRM = LatencyProfile.lognormal(120_000, 400_000)
_SETTLE = LatencyProfile.lognormal(2_000_000, 10_000_000)


@dataclass(frozen=True, kw_only=True)
class GatewayProfile:
    """The gateway's own share of time; the network's legs come on top.

    The defaults are the declared reference gateway (log-normal, median 80 ms, p99 200 ms) for writes and half of it
    for reads. They are assumptions: the platform publishes no figures.

    Attributes:
        prepay: request complete → order committed.
        query: both queries of orders.
        close: close.
        refund: request complete → refund accepted.
        refund_query: query of a refund.
        certificates: certificate list.
        confirm: the payer's finger → order paid and the phone's ``requestPayment:ok``; no password and no bank in it.
        confirm_to_callback: order paid → first callback leaves.
        refund_settle: refund accepted → money back and REFUND.SUCCESS. Minutes to days in reality.
    """

    prepay: LatencyProfile = _REFERENCE
    query: LatencyProfile = _READ
    close: LatencyProfile = _REFERENCE
    refund: LatencyProfile = _REFERENCE
    refund_query: LatencyProfile = _READ
    certificates: LatencyProfile = _READ
    confirm: LatencyProfile = _CONFIRM
    confirm_to_callback: LatencyProfile = _REFERENCE
    refund_settle: LatencyProfile = _SETTLE

    @classmethod
    def instant(cls) -> GatewayProfile:
        """No delay anywhere: for tests of behaviour."""
        zero = LatencyProfile.constant(0)
        return cls(
            prepay=zero,
            query=zero,
            close=zero,
            refund=zero,
            refund_query=zero,
            certificates=zero,
            confirm=zero,
            confirm_to_callback=zero,
            refund_settle=zero,
        )

    def of(self, endpoint: Endpoint) -> LatencyProfile:
        """The profile of one call.

        Raises:
            ValueError: this gateway does not serve the endpoint itself.
        """
        profile = {
            Endpoint.PREPAY: self.prepay,
            Endpoint.QUERY: self.query,
            Endpoint.CLOSE: self.close,
            Endpoint.REFUND: self.refund,
            Endpoint.REFUND_QUERY: self.refund_query,
            Endpoint.CERTIFICATES: self.certificates,
        }.get(endpoint)
        if profile is None:
            raise ValueError(f"no latency for {endpoint}")
        return profile


@dataclass(frozen=True, kw_only=True)
class Switches:
    """Behaviours no public source settles, or on which sources contradict each other. Every default is *unproven*.

    Attributes:
        sign_business_errors: whether business 4xx carry signature headers. Only unauthenticated refusals were probed
            (unsigned), while the documentation says "all replies".
        reused_number: an order number used again with other parameters: 403 OUT_TRADE_NO_USED (API pages) or
            400 INVALID_REQUEST ``201 商户订单号重复`` (FAQ and user reports).
        close_closed: closing a closed order: ``accept`` (204 again) or ``refuse`` (400 ORDER_CLOSED).
        unpaid_life_s: an order nobody pays is closed after this (documents differ: 7 or 15 days); it is also the
            latest allowed ``time_expire``.
        prepay_life_s: life of a prepay_id (2 h, documented).
        require_pay_sign: the payer's phone refuses a payment call without a valid ``paySign``. The real phone always
            does; off, it checks the signature only when the caller passes one.
        require_login: prepay refuses an openid that never logged in through ``jscode2session``.
        rate_limits: enforce the published limits (refund 150/s, refund query 300/s, certificates 1000/s, per merchant).
        callback_public_key_permille: share of callbacks signed with the public key instead of the certificate; the
            documented switch-over goes 1, 10, 50, 100, 200, 500, 1000 within 7 days (WXDOC 4012154180).
    """

    sign_business_errors: bool = False
    reused_number: Literal["OUT_TRADE_NO_USED", "INVALID_REQUEST"] = "OUT_TRADE_NO_USED"
    close_closed: Literal["accept", "refuse"] = "accept"
    unpaid_life_s: int = 7 * 86_400
    prepay_life_s: int = 7_200
    require_pay_sign: bool = False
    require_login: bool = False
    rate_limits: bool = True
    callback_public_key_permille: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.callback_public_key_permille <= 1000:
            raise ValueError("callback_public_key_permille must be between 0 and 1000")
        if self.unpaid_life_s <= 0 or self.prepay_life_s <= 0:
            raise ValueError("unpaid_life_s and prepay_life_s must be positive")
