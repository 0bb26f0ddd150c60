"""The platforms that the settings allow."""

from __future__ import annotations

from collections.abc import Callable

import httpx

from reference.backend.gateways.outgoing import Outgoing
from reference.backend.gateways.port import Gateway
from reference.backend.identifiers import Identifiers
from reference.backend.settings import BackendSettings
from reference.backend.store.database import Database
from reference.backend.tax.baiwang import BaiwangTax
from reference.backend.tax.calls import TaxCalls
from reference.backend.tax.nuonuo import NuonuoTax
from reference.backend.tax.port import TaxPort
from reference.backend.tax.wechat import WeChatTax

__all__ = ["tax_platforms"]


def tax_platforms(
    settings: BackendSettings,
    gateway: Gateway,
    transport: httpx.AsyncBaseTransport,
    db: Database,
    clock_us: Callable[[], int],
    ids: Identifiers,
) -> dict[str, TaxPort]:
    """Every platform with credentials, by name: invoices under way stay where they were handed in, whatever is chosen now."""

    def calls() -> TaxCalls:
        outgoing = Outgoing(transport, clock_us, ids, settings.call_timeout_s, settings.busy_qps)
        return TaxCalls(outgoing, db, clock_us, ids)

    found: dict[str, TaxPort] = {"wechat": WeChatTax(gateway, settings.invoice_tries)}
    if settings.tax.nuonuo is not None:
        found["nuonuo"] = NuonuoTax(calls(), settings.tax.nuonuo, f"{settings.notify_url}/v1/notify/nuonuo")
    if settings.tax.baiwang is not None:
        found["baiwang"] = BaiwangTax(calls(), settings.tax.baiwang)
    return found
