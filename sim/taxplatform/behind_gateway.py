"""Puts the tax platform behind the payment gateway: same host, same signatures, same callbacks with their retry ladder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from starlette.types import Receive, Scope, Send

from protocols.wechatpay import Endpoint
from sim.latency import LatencyProfile
from sim.taxplatform.bureau import TaxBureau
from sim.taxplatform.faults import TaxFault
from sim.taxplatform.platform import ISSUE_LATENCY, TaxPlatform
from sim.taxplatform.registry import Seller
from sim.wechatpay import RawRequest, WeChatPayGateway

__all__ = ["FAPIAO_PREFIX", "tax_platform_behind"]

FAPIAO_PREFIX: Final = "/v3/new-tax-control-fapiao"
"""The invoice endpoints live on the payment platform's own host."""

_AT_ONCE: Final = LatencyProfile.constant(0)


def tax_platform_behind(
    gateway: WeChatPayGateway,
    sellers: Iterable[Seller],
    *,
    latency: LatencyProfile = ISSUE_LATENCY,
    accept_latency: LatencyProfile = _AT_ONCE,
    faults: Iterable[TaxFault] = (),
    bureau: TaxBureau | None = None,
) -> TaxPlatform:
    """Make a tax platform that shares a gateway's accounts, keys and callbacks, and mount it there.

    Args:
        gateway: checks requests, signs replies, sends events.
        sellers: who may issue; each one's ``mchid`` is an account of the gateway.
        latency: accepted to issued.
        accept_latency: how long a call itself takes.
        faults: its schedule of faults.
        bureau: the tax bureau it shares with other platforms, which then has the faults.

    Raises:
        ValueError: a seller without an account at the gateway, two with one merchant number, or faults beside a bureau.
        FaultError: two faults of one name.
    """
    sellers = list(sellers)
    for seller in sellers:
        if seller.mchid not in gateway.accounts:
            raise ValueError(f"the gateway has no merchant {seller.mchid}")

    def verify(method: str, target: str, headers: Mapping[str, str], body: bytes) -> str:
        request = RawRequest(method, target, headers, body)
        return gateway.gate.admit(request, Endpoint.FAPIAO, gateway.kernel.unix_us // 1_000_000).mchid

    def sign(_status: int, body: bytes, headers: Mapping[str, str]) -> Mapping[str, str]:
        return gateway.signer.headers(gateway.signer.pick(headers.get("wechatpay-serial")), body)

    def announce(
        mchid: str, url: str, *, event_type: str, summary: str, resource: Mapping[str, object], subject: str
    ) -> None:
        gateway.notifier.announce(
            gateway.accounts[mchid],
            url,
            event_type=event_type,
            summary=summary,
            resource=resource,
            subject=subject,
            original_type=None,  # invoice events have none: a merchant dispatches by event_type alone
        )

    platform = TaxPlatform(
        gateway.kernel,
        sellers,
        verify_request=verify,
        sign_reply=sign,
        announce=announce,
        latency=latency,
        faults=faults,
        bureau=bureau,
    )

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        await gateway.pass_time(accept_latency, "tax-accept")
        await platform.app(scope, receive, send)

    gateway.mount(FAPIAO_PREFIX, serve)
    return platform
