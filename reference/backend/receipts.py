"""What a receipt says: the pump's figures, and what paid for them. The site prints it and recomputes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Row

__all__ = ["receipt_of"]

_NO_GATEWAY: Final = "member"
"""The tender of an order that points, coupon and balance paid altogether."""


def receipt_of(
    sale: Row[Any],
    *,
    station_name: str,
    tender: str,
    paid_fen: int,
    number: str | None,
    parts: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """What a receipt says.

    ``number`` is the `out_trade_no`, if the phone paid. Of a mixed tender ``tender`` is all of it, joined by ``+``, and
    ``parts`` says what each was worth; ``paid_fen`` is the sum, as in the ledger.
    """
    if parts:
        gateway = [] if tender == _NO_GATEWAY else [tender]
        tender = "+".join([*gateway, *(part["tender"] for part in parts)])
    return {
        "station": sale.station,
        "station_name": station_name,
        "sale_id": sale.sale_id,
        "sequence": sale.sequence,
        "fuelling_point": sale.fuelling_point,
        "nozzle": sale.nozzle,
        "grade": sale.grade,
        "volume_ml": sale.volume_ml,
        "amount_fen": sale.amount_fen,
        "price_fen_per_l": sale.price_fen_per_l,
        "ended_us": sale.ended_us,
        "tender": tender,
        "paid_fen": paid_fen,
        "out_trade_no": number,
        **({"parts": list(parts)} if parts else {}),
    }
