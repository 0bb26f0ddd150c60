"""Tax platforms as the service sees them: one port, an adapter for each of WeChat's refined-oil invoices, Nuonuo and Baiwang."""

from __future__ import annotations

from reference.backend.tax.baiwang import BaiwangTax
from reference.backend.tax.calls import TaxCalls
from reference.backend.tax.nuonuo import NuonuoTax
from reference.backend.tax.port import (
    PLATFORM_HOLDS,
    BlueOrder,
    ExistsError,
    FuelPart,
    HeldError,
    RedOrder,
    RedPart,
    RedReport,
    TaxPort,
    WrongFormError,
    reason_waits,
)
from reference.backend.tax.wechat import WeChatTax

__all__ = [
    "PLATFORM_HOLDS",
    "BaiwangTax",
    "BlueOrder",
    "ExistsError",
    "FuelPart",
    "HeldError",
    "NuonuoTax",
    "RedOrder",
    "RedPart",
    "RedReport",
    "TaxCalls",
    "TaxPort",
    "WeChatTax",
    "WrongFormError",
    "reason_waits",
]
