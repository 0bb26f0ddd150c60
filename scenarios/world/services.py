"""The services behind the backend, as one scenario has them: payment gateway, payers' phones, tax platform."""

from __future__ import annotations

from dataclasses import dataclass

import httpx

from scenarios.model import Services, Station
from scenarios.world.faults import FaultPlan
from scenarios.world.keys import RunKeys
from scenarios.world.translate import latency_profile, scaled
from sim.kernel import Kernel
from sim.latency import LatencyProfile
from sim.net import NetworkClient
from sim.taxplatform import Seller, TaxFault, TaxPlatform, tax_platform_behind
from sim.wechatpay import GatewayProfile, WeChatPayGateway

__all__ = ["SimulatedServices", "build_services"]

_TAX_KINDS = {
    "stall": "stall",
    "accept_stall": "accept-stall",
    "quota_exhausted": "quota",
    "credit_exhausted": "credit",
    "login_lost": "login-lost",
    "face_check": "face-check",
    "reply_late": "reply-late",
}
_REPLY_LATE_MS = 60_000


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
    notify_client: httpx.AsyncClient | NetworkClient,
    notify_url: str,
) -> SimulatedServices:
    """Build both services; the invoice endpoints are mounted behind the gateway's host.

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

    tax = tax_platform_behind(
        gateway,
        [Seller(merchant.account.mchid, station.name, station.taxpayer_id, f"{notify_url}/v1/notify/fapiao")],
        latency=latency_profile(services.tax_issue),
        accept_latency=latency_profile(services.tax_accept),
        faults=[
            TaxFault(
                kind=_TAX_KINDS[fault.kind],
                name=planned.name,
                at_us=planned.at_us,
                for_us=fault.for_s * 1_000_000 or None,
                # A fault of a single moment strikes the next thing that passes, once.
                limit=None if fault.for_s else 1,
                probability=fault.share,
                late_us=(fault.delay_ms or _REPLY_LATE_MS) * 1_000,
            )
            for planned, fault in plan.tax()
        ],
    )
    plan.attach_report(tax.fault_report)
    return SimulatedServices(gateway, tax)
