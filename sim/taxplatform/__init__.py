"""A tax platform that issues fuel e-invoices in WeChat Pay's refined-oil shape, with latency and faults."""

from __future__ import annotations

from sim.taxplatform.app import SignReply, VerifyRequest
from sim.taxplatform.behind_gateway import FAPIAO_PREFIX, tax_platform_behind
from sim.taxplatform.faults import TaxFault, TaxFaultKind
from sim.taxplatform.platform import ISSUE_LATENCY, REVERSE_LATENCY, Announce, TaxPlatform
from sim.taxplatform.registry import Application, Fapiao, Seller

__all__ = [
    "FAPIAO_PREFIX",
    "ISSUE_LATENCY",
    "REVERSE_LATENCY",
    "Announce",
    "Application",
    "Fapiao",
    "Seller",
    "SignReply",
    "TaxFault",
    "TaxFaultKind",
    "TaxPlatform",
    "VerifyRequest",
    "tax_platform_behind",
]
