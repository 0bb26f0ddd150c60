"""The refined-oil application of one sale."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Row

from protocols.fapiao import FUEL_TAX_CODES, PETROL_TAX_CODE, Buyer, FuelLine, IssueRequest, quantity_of_ml
from protocols.wechatpay import rfc3339

__all__ = ["application_of"]


def application_of(
    invoice: Row[Any], sale: Row[Any], station: Row[Any], *, transaction_id: str | None
) -> dict[str, Any]:
    """The body of ``issue-refined-oil`` (WXDOC 4016760559).

    The tax-inclusive total is what was paid; the quantity is the pump's, in litres.
    """
    title = msgspec.json.decode(invoice.title)
    is_diesel = sale.grade == "diesel"
    line = FuelLine(
        tax_code=FUEL_TAX_CODES.get(sale.grade, PETROL_TAX_CODE),
        goods_name="柴油" if is_diesel else "汽油",
        unit="LETER",
        quantity_e8=quantity_of_ml(sale.volume_ml),
        gross_fen=invoice.amount_fen,
        station=station.name,
        trade_time=rfc3339(sale.ended_us // 1_000_000),
        gun_number=str(sale.nozzle),
        specification="" if is_diesel else f"{sale.grade}#",
    )
    request = IssueRequest(
        fapiao_apply_id=invoice.fapiao_apply_id,
        fapiao_id=invoice.fapiao_id,
        buyer=Buyer(title["title_type"], title["name"], title.get("taxpayer_id") or ""),
        lines=(line,),
        transactions=((transaction_id, invoice.amount_fen),) if transaction_id is not None else (),
    )
    return request.body()
