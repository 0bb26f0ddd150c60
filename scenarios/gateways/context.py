"""What the builders of hosted services get, and what they give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

import httpx
from starlette.types import ASGIApp, Receive, Scope, Send

from sim.kernel import Kernel
from sim.latency import LatencyProfile
from sim.taxplatform import (
    ISSUE_LATENCY,
    REVERSE_LATENCY,
    InvoiceBook,
    Seller,
    TaxBureau,
    TaxPlatform,
    tax_platform_behind,
)
from sim.wechatpay import (
    GatewayProfile,
    Merchant,
    PlatformKeys,
    WeChatPayGateway,
    generate_merchant,
    generate_platform,
)

__all__ = ["GatewayContext", "HostedService", "WeChatTrust", "with_payers"]

_AT_ONCE = LatencyProfile.constant(0)
FAPIAO_NOTIFY_URL = "https://merchant.test/v1/notify/fapiao"
"""Where invoices are announced; only its path counts, since callbacks go to one place on this machine."""


class WeChatTrust(StrEnum):
    """What WeChat Pay has given the merchant to verify replies and callbacks with."""

    BOTH = "both"
    """Certificates and the public key: replies as the request asks, callbacks by certificate until the switch-over."""
    CERTIFICATES = "certificates"
    """Certificates alone, as merchants from before the public key have them."""
    PUBLIC_KEY = "public-key"
    """The public key alone, as merchants that join today get it: callbacks too, and no certificates to fetch."""


@dataclass(frozen=True)
class HostedService:
    """One platform, ready to be reached.

    Attributes:
        name: its part of the control API, ``/<name>``.
        title: for people.
        hosts: host name → application.
        control: its control API, or None.
        settings: what a client of it has to be configured with; goes into a file that only its owner may read.
        files: further files by name, such as keys in PEM or PKCS #12.
    """

    name: str
    title: str
    hosts: Mapping[str, ASGIApp]
    control: ASGIApp | None = None
    settings: Mapping[str, object] = field(default_factory=dict)
    files: Mapping[str, str | bytes] = field(default_factory=dict, repr=False)


class GatewayContext:
    """What all services of one run share.

    Args:
        kernel: clock, streams, trace and background tasks.
        notify_client: sends callbacks; it reaches this machine only.
        is_instant: no service takes any time of its own.
        trust: what WeChat Pay signs with for this merchant.

    Attributes:
        kernel, notify_client, is_instant, trust: as given.
    """

    def __init__(
        self,
        kernel: Kernel,
        notify_client: httpx.AsyncClient,
        *,
        is_instant: bool = False,
        trust: WeChatTrust = WeChatTrust.BOTH,
    ) -> None:
        self.kernel = kernel
        self.notify_client = notify_client
        self.is_instant = is_instant
        self.trust = trust

    def latency(self, usual: LatencyProfile) -> LatencyProfile:
        """A service's own share of time, or none of it."""
        return _AT_ONCE if self.is_instant else usual

    @cached_property
    def platform(self) -> PlatformKeys:
        """WeChat Pay's own keys: two certificates, for a rotation, and a public key unless the merchant has none."""
        return generate_platform(certificates=2, public_key=self.trust is not WeChatTrust.CERTIFICATES)

    @cached_property
    def merchant(self) -> Merchant:
        """The merchant that WeChat Pay, its invoices and WeChat's own server know."""
        has_certificates = self.trust is not WeChatTrust.PUBLIC_KEY
        return generate_merchant(self.platform, has_platform_certificates=has_certificates)

    @cached_property
    def wechatpay(self) -> WeChatPayGateway:
        """WeChat Pay, with the payers' phones."""
        return WeChatPayGateway(
            self.kernel,
            [self.merchant.account],
            self.platform,
            notify_client=self.notify_client,
            profile=GatewayProfile.instant() if self.is_instant else None,
        )

    @cached_property
    def seller(self) -> Seller:
        """The company that issues invoices, on every invoice platform."""
        mchid = self.merchant.account.mchid
        return Seller(mchid, "昆明前程加油站", "91530100MA6K00001X", FAPIAO_NOTIFY_URL)

    @cached_property
    def bureau(self) -> TaxBureau:
        """The tax bureau behind all invoice platforms."""
        return TaxBureau(self.kernel)

    @cached_property
    def wechat_fapiao(self) -> TaxPlatform:
        """Fuel invoices behind WeChat Pay's host."""
        latency = self.latency(ISSUE_LATENCY)
        return tax_platform_behind(self.wechatpay, [self.seller], latency=latency, bureau=self.bureau)

    @cached_property
    def invoices(self) -> InvoiceBook:
        """The invoices of the other platforms."""
        return InvoiceBook(
            self.bureau,
            [self.seller],
            issue_latency=self.latency(ISSUE_LATENCY),
            red_latency=self.latency(REVERSE_LATENCY),
        )


def with_payers(control: ASGIApp, payers: ASGIApp) -> ASGIApp:
    """One control API out of a gateway's own and that of its payers' phones (all below ``/payers``)."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        below = scope.get("path", "").removeprefix(scope.get("root_path", ""))
        is_payers = below.startswith("/payers/")
        await (payers if is_payers else control)(scope, receive, send)

    return app
