"""The services behind the backend, as one scenario has them: payment gateway, payers' phones, tax platform."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import httpx
from starlette.types import Receive, Scope, Send

from protocols.wechatpay import Endpoint, refusal
from scenarios.model import Services, Station
from scenarios.world.faults import FaultPlan
from scenarios.world.keys import RunKeys
from scenarios.world.translate import latency_profile, scaled
from sim.kernel import Kernel
from sim.latency import LatencyProfile
from sim.taxplatform import Seller, TaxFault, TaxPlatform
from sim.wechatpay import GatewayProfile, RawRequest, WeChatPayGateway

__all__ = ["FAPIAO_PREFIX", "SimulatedServices", "build_services"]

FAPIAO_PREFIX = "/v3/new-tax-control-fapiao"
"""The invoice endpoints live on the payment platform's own host."""

_TAX_KINDS = {"stall": "stall", "quota_exhausted": "quota", "login_lost": "login-lost"}


@dataclass(frozen=True, slots=True)
class SimulatedServices:
    """Gateway and tax platform of a run."""

    gateway: WeChatPayGateway
    tax: TaxPlatform


def build_services(
    kernel: Kernel,
    station: Station,
    services: Services,
    plan: FaultPlan,
    keys: RunKeys,
    *,
    notify_client: httpx.AsyncClient,
    notify_url: str,
) -> SimulatedServices:
    """Build both services and mount the invoice endpoints behind the gateway's host.

    The scenario states the gateway's whole share of one payment. Three eighths of it go to the prepay call and five to
    what lies between the payer's confirmation and the callback; the payer's own screen is no part of it.

    Args:
        kernel: clock and chance.
        station: whose merchant account it is.
        services: latency profiles.
        plan: faults; their counters are attached to it.
        keys: the run's keys.
        notify_client: sends callbacks.
        notify_url: base URL of the merchant's callbacks.
    """
    whole = latency_profile(services.gateway)
    profile = GatewayProfile(
        prepay=scaled(whole, 3),
        close=scaled(whole, 3),
        refund=scaled(whole, 3),
        confirm=LatencyProfile.constant(0),
        confirm_to_callback=scaled(whole, 5),
    )
    merchant = keys.merchant
    gateway = WeChatPayGateway(
        kernel,
        [merchant.account],
        keys.platform,
        notify_client=notify_client,
        profile=profile,
        faults=plan.gateway(),
    )
    plan.attach_report(gateway.faults.report)

    def verify(method: str, target: str, headers: Mapping[str, str], body: bytes) -> str:
        request = RawRequest(method, target, headers, body)
        return gateway.gate.admit(request, Endpoint.FAPIAO, kernel.unix_us // 1_000_000).mchid

    def sign(status: int, body: bytes, headers: Mapping[str, str]) -> Mapping[str, str]:
        if status >= 400:
            return {}
        return gateway.signer.headers(gateway.signer.pick(headers.get("wechatpay-serial")), body)

    def announce(
        mchid: str, url: str, *, event_type: str, summary: str, resource: Mapping[str, object], subject: str
    ) -> None:
        account = gateway.accounts.get(mchid)
        if account is None:
            raise refusal(Endpoint.FAPIAO, "MCH_NOT_EXISTS")
        gateway.notifier.announce(
            account,
            url,
            event_type=event_type,
            summary=summary,
            resource=resource,
            subject=subject,
            original_type=None,
        )

    tax = TaxPlatform(
        kernel,
        [Seller(merchant.account.mchid, station.name, station.taxpayer_id, f"{notify_url}/v1/notify/fapiao")],
        verify_request=verify,
        sign_reply=sign,
        announce=announce,
        latency=latency_profile(services.tax_issue),
        faults=[
            TaxFault(
                kind=_TAX_KINDS[fault.kind],
                name=planned.name,
                at_us=planned.at_us,
                for_us=fault.for_s * 1_000_000 or None,
            )
            for planned, fault in plan.tax()
        ],
    )
    plan.attach_report(tax.fault_report)
    accept = latency_profile(services.tax_accept)

    async def accepting(scope: Scope, receive: Receive, send: Send) -> None:
        await gateway.pass_time(accept, "tax-accept")
        await tax.app(scope, receive, send)

    gateway.mount(FAPIAO_PREFIX, accepting)
    return SimulatedServices(gateway, tax)
