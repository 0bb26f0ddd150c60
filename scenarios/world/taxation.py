"""Tax platforms beside WeChat's in a virtual run, on the same tax bureau; and every invoice that any of them has issued."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from reference.backend.tax.settings import BaiwangSettings, NuonuoSettings, TaxSettings
from scenarios.model import Scenario
from scenarios.model.hosts import CALLBACKS, TAX_HOSTS
from scenarios.world.translate import latency_profile
from sim.net import Network
from sim.taxplatform import (
    BaiwangApp,
    BaiwangPlatform,
    InvoiceBook,
    NuonuoApp,
    NuonuoPlatform,
    TaxBureau,
    Taxpayer,
)

if TYPE_CHECKING:
    from scenarios.world.virtual import VirtualWorld

__all__ = ["IssuedInvoice", "TaxHouse", "build_tax_house", "issued_invoices", "tax_settings"]

_NAME = "forecourt"
"""Application and user there; what guards them is a secret of the run."""


@dataclass(frozen=True, slots=True)
class TaxHouse:
    """A platform with its book.

    Attributes:
        book: what was issued over it.
        settings: what the backend's settings need for it.
    """

    book: InvoiceBook
    settings: TaxSettings


@dataclass(frozen=True, slots=True)
class IssuedInvoice:
    """An invoice that the bureau has numbered: the merchant's serial, the number, the gross sum; of a red one, what it cancels."""

    serial: str
    number: str
    amount_fen: int
    cancels: str | None = None


def build_tax_house(
    scenario: Scenario, bureau: TaxBureau, network: Network, *, secret: str
) -> TaxHouse | None:
    """The platform that the scenario's invoices go over, registered in its network; None for WeChat's, which the gateway has.

    Args:
        scenario: what to build.
        bureau: the tax bureau, with the run's faults.
        network: gets the platform's hosts, and its way to the backend.
        secret: of the run.
    """
    name, station, services = scenario.services.tax_platform, scenario.station, scenario.services
    if name == "wechat":
        return None
    leg, calls = latency_profile(services.network.backend_tax), latency_profile(services.tax_accept)
    taxpayer = Taxpayer(station.taxpayer_id, station.name)
    book = InvoiceBook(bureau, [taxpayer], issue_latency=latency_profile(services.tax_issue))
    known: dict[str, Any] = {"app_key": _NAME, "app_secret": secret, "taxpayer_id": station.taxpayer_id}
    platform: NuonuoPlatform | BaiwangPlatform
    if name == "nuonuo":
        network.set_latency("nuonuo", CALLBACKS, leg)
        push = httpx.AsyncClient(transport=network.transport("nuonuo"), trust_env=False)
        platform = NuonuoPlatform(book, [NuonuoApp(**known)], push=push, call_latency=calls)
        settings = TaxSettings(platform="nuonuo", nuonuo=NuonuoSettings(**known))
    else:
        known |= {"username": _NAME, "password": secret, "salt": ""}
        platform = BaiwangPlatform(book, [BaiwangApp(**known)], call_latency=calls)
        settings = TaxSettings(platform="baiwang", baiwang=BaiwangSettings(**known))
    for host in TAX_HOSTS[name]:
        network.register(host, platform.app)
        for number in range(scenario.backend.instances):
            network.set_latency(f"backend-{chr(ord('a') + number)}", host, leg)
    return TaxHouse(book, settings)


def tax_settings(house: TaxHouse | None) -> dict[str, Any]:
    """What the backend's settings need beside the ordinary ones."""
    return {} if house is None else {"tax": house.settings}


def issued_invoices(world: VirtualWorld) -> Iterator[IssuedInvoice]:
    """What the bureau has issued, over whichever platform, in the order of arrival there."""
    for (_, apply_id), application in world.services.tax.applications.items():
        for fapiao in application.fapiaos.values():
            if fapiao.number:
                yield IssuedInvoice(apply_id, fapiao.number, fapiao.net_fen + fapiao.tax_fen)
    if world.tax_house is None:
        return
    for invoice in world.tax_house.book.invoices.values():
        draft = invoice.draft
        if invoice.number:
            yield IssuedInvoice(draft.serial, invoice.number, draft.gross_fen, draft.blue_number or None)
