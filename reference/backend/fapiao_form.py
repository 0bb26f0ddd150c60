"""The refined-oil application of one sale."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any, Final

import msgspec
from sqlalchemy import Row

__all__ = ["application_of"]

_CHINA: Final = timezone(timedelta(hours=8))
# Two invoicing systems agree on these codes; one ERP takes ...0101 for aviation petrol, hence one place to change.
_PETROL: Final = ("1070101010100000000", "汽油")
_DIESEL: Final = ("1070101030100000000", "柴油")
_TAX_RATE: Final = 1300  # 13 %, in hundredths of a percent
_QUANTITY_PER_ML: Final = 100_000  # the quantity is litres times 10^8


def application_of(
    invoice: Row[Any], sale: Row[Any], station: Row[Any], *, mchid: str, transaction_id: str | None
) -> dict[str, Any]:
    """The body of ``issue-refined-oil`` (WXDOC 4016760559). The tax-inclusive total is what was paid; quantity is the pump's."""
    title = msgspec.json.decode(invoice.title)
    code, name = _DIESEL if sale.grade == "diesel" else _PETROL
    buyer = {"type": title["title_type"], "name": title["name"]}
    if title.get("taxpayer_id"):
        buyer["taxpayer_id"] = title["taxpayer_id"]
    form: dict[str, Any] = {
        "sub_mchid": mchid,
        "fapiao_apply_id": invoice.fapiao_apply_id,
        "buyer_information": buyer,
        "fapiao_information": [
            {
                "fapiao_id": invoice.fapiao_id,
                "total_amount": invoice.amount_fen,
                "items": [
                    {
                        "tax_code": code,
                        "goods_name": name,
                        "specification": sale.grade if sale.grade == "diesel" else f"{sale.grade}#",
                        "unit": "LETER",
                        "quantity": sale.volume_ml * _QUANTITY_PER_ML,
                        "total_amount": invoice.amount_fen,
                        "tax_rate": _TAX_RATE,
                        "refined_oil_information": {
                            "station": station.name,
                            "trade_time": datetime.fromtimestamp(
                                sale.ended_us // 1_000_000, _CHINA
                            ).isoformat(),
                            "gun_number": str(sale.nozzle),
                        },
                    }
                ],
                "fapiao_bill_type": "COMM_FAPIAO",
            }
        ],
    }
    if transaction_id is not None:
        form["transaction_information"] = [
            {"pay_channel": "WECHAT_PAY", "transaction_id": transaction_id, "amount": invoice.amount_fen}
        ]
    return form
