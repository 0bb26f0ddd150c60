"""Tax platforms that issue fuel e-invoices (WeChat Pay's refined-oil shape, Nuonuo, Baiwang), with latency and faults."""

from __future__ import annotations

from sim.taxplatform.app import SignReply, VerifyRequest
from sim.taxplatform.apps import BaiwangApp, BaiwangSwitches, NuonuoApp, NuonuoSwitches
from sim.taxplatform.baiwang import BaiwangPlatform
from sim.taxplatform.behind_gateway import FAPIAO_PREFIX, tax_platform_behind
from sim.taxplatform.book import BookError, BookProblem, InvoiceBook
from sim.taxplatform.bureau import Session, TaxAccount, TaxBureau
from sim.taxplatform.entries import Draft, Invoice, RedForm, Taxpayer
from sim.taxplatform.faults import TaxFault, TaxFaultKind
from sim.taxplatform.nuonuo import NuonuoPlatform
from sim.taxplatform.platform import ISSUE_LATENCY, REVERSE_LATENCY, Announce, TaxPlatform
from sim.taxplatform.registry import Application, Fapiao, Seller

__all__ = [
    "FAPIAO_PREFIX",
    "ISSUE_LATENCY",
    "REVERSE_LATENCY",
    "Announce",
    "Application",
    "BaiwangApp",
    "BaiwangPlatform",
    "BaiwangSwitches",
    "BookError",
    "BookProblem",
    "Draft",
    "Fapiao",
    "Invoice",
    "InvoiceBook",
    "NuonuoApp",
    "NuonuoPlatform",
    "NuonuoSwitches",
    "RedForm",
    "Seller",
    "Session",
    "SignReply",
    "TaxAccount",
    "TaxBureau",
    "TaxFault",
    "TaxFaultKind",
    "TaxPlatform",
    "Taxpayer",
    "VerifyRequest",
    "tax_platform_behind",
]
