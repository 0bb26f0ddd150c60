"""What a receipt says, from what the backend tells: checked, masked, and in the words of the paper.

The figures are the ledger's own and are never recomputed here. Cards and phones are masked before the receipt is
stored anywhere (PRN-05).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from protocols.escpos import ReceiptContent, mask_card, mask_phone

__all__ = ["masked_receipt", "receipt_content"]

_TENDERS: Final = {
    "wechatpay": "微信支付",
    "wechatpay_code": "微信付款码",
    "wechatpay_contract": "微信免密支付",
    "unionpay": "银联支付",
    "quickpass": "云闪付",
    "cash": "现金",
    "card": "银行卡",
    "fuel_card": "加油卡",
    "balance": "余额",
    "points": "积分",
    "coupon": "优惠券",
}
_TO_MASK: Final = {"card": mask_card, "phone": mask_phone}
_DIGITS_SHOWN_MOST: Final = re.compile(r"\d{7,}")


def masked_receipt(receipt: Mapping[str, Any]) -> dict[str, Any]:
    """The receipt with card and phone masked, also if they came in full; nothing else changes."""
    clean = dict(receipt)
    for name, mask in _TO_MASK.items():
        value = clean.get(name)
        if isinstance(value, str) and _DIGITS_SHOWN_MOST.search(re.sub(r"[\s-]", "", value)):
            clean[name] = mask(value)
    return clean


def receipt_content(receipt: Mapping[str, Any]) -> ReceiptContent:
    """A receipt as the backend describes it. Raises ValueError naming what is missing or cannot be printed."""
    clean = masked_receipt(receipt)
    try:
        amount_fen = int(clean["amount_fen"])
        return ReceiptContent(
            station_name=str(clean["station_name"]),
            station=str(clean["station"]),
            nozzle=int(clean["nozzle"]),
            grade=str(clean["grade"]),
            volume_ml=int(clean["volume_ml"]),
            price_fen_per_l=int(clean["price_fen_per_l"]),
            amount_fen=amount_fen,
            sequence=int(clean["sequence"]),
            ended_us=int(clean["ended_us"]),
            pay_method=_pay_method(str(clean["tender"])),
            discount_fen=amount_fen - int(clean.get("paid_fen", amount_fen)),
            card_masked=str(clean.get("card") or ""),
            phone_masked=str(clean.get("phone") or ""),
            order=str(clean.get("out_trade_no") or ""),
            parts=tuple(_part(part) for part in clean.get("parts") or ()),
        )
    except KeyError as error:
        raise ValueError(f"receipt has no {error.args[0]}") from error
    except TypeError as error:
        raise ValueError(f"receipt: {error}") from error


def _pay_method(tender: str) -> str:
    """Mixed tender comes joined by ``+``; what has no Chinese name is printed as it is."""
    return "+".join(_TENDERS.get(part, part) for part in tender.split("+"))


def _part(part: Mapping[str, Any]) -> tuple[str, str]:
    """What points, a coupon or balance paid, as a row: points with how many there were."""
    fen, tender = int(part["amount_fen"]), str(part["tender"])
    points = f"{int(part['units'])}分 " if tender == "points" else ""
    return f"{_TENDERS.get(tender, tender)}抵付", f"{points}{fen // 100}.{fen % 100:02d}"
