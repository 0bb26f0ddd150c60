"""An invoice as the tables have it, read in one statement, and as a platform is to be told of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Row, bindparam, select

from reference.backend.invoices.schema import invoice_uses, tax_holds
from reference.backend.store.schema import invoices, orders, payments, sales, stations
from reference.backend.tax import BlueOrder, FuelPart
from reference.backend.tax.settings import TaxSettings

__all__ = ["LOAD", "blue_order"]

LOAD: Final = (
    select(
        invoices,
        invoice_uses.c.line.label("line"),
        invoice_uses.c.amount_fen.label("part_fen"),
        invoice_uses.c.volume_ml.label("part_ml"),
        sales.c.grade.label("grade"),
        sales.c.nozzle.label("nozzle"),
        sales.c.ended_us.label("ended_us"),
        stations.c.name.label("station_name"),
        payments.c.transaction_id.label("transaction_id"),
        payments.c.channel.label("channel"),
        tax_holds.c.why.label("held"),
    )
    .select_from(
        invoices.join(invoice_uses, invoice_uses.c.fapiao_apply_id == invoices.c.fapiao_apply_id)
        .join(sales, sales.c.sale_id == invoice_uses.c.sale_id)
        .join(stations, stations.c.station == invoices.c.station)
        .outerjoin(orders, orders.c.order_id == invoice_uses.c.order_id)
        .outerjoin(payments, payments.c.out_trade_no == orders.c.out_trade_no)
        .outerjoin(tax_holds, tax_holds.c.platform == invoices.c.platform)
    )
    .where(invoices.c.fapiao_apply_id == bindparam("wanted"))
    .order_by(invoice_uses.c.line)
)
"""One row for each line of the invoice ``wanted``; its own columns stand in each."""

_NOBODY: Final = "个人"
"""Who is named where the title was deleted and a platform wants a name once more."""


def blue_order(settings: TaxSettings, rows: Sequence[Row[Any]]) -> BlueOrder:
    """What the platform is told, out of the rows of `LOAD`.

    Raises:
        ValueError: it cannot be said: a grade that has no tax code, a sale without litres.
    """
    head = rows[0]
    title = msgspec.json.decode(head.title)
    transactions: dict[str, int] = {}
    parts = []
    for row in rows:
        goods = settings.goods.get(row.grade)
        if goods is None:
            raise ValueError(f"grade {row.grade} has no tax code in the settings")
        if row.part_ml <= 0:
            raise ValueError("there are no litres to go with the money")
        parts.append(
            FuelPart(
                tax_code=goods.tax_code,
                goods_name=goods.name,
                specification=goods.specification,
                volume_ml=row.part_ml,
                gross_fen=row.part_fen,
                station_name=row.station_name,
                nozzle=row.nozzle,
                ended_us=row.ended_us,
            )
        )
        if row.transaction_id is not None and row.channel.startswith("wechat"):
            transactions[row.transaction_id] = transactions.get(row.transaction_id, 0) + row.part_fen
    return BlueOrder(
        serial=head.fapiao_apply_id,
        try_id=head.fapiao_id,
        title_type=title.get("title_type", "INDIVIDUAL"),
        buyer_name=title.get("name", _NOBODY),
        buyer_tax_id=title.get("taxpayer_id") or "",
        parts=tuple(parts),
        # Either all of the money went through WeChat Pay, or the platform is not told about payments.
        transactions=tuple(transactions.items())
        if sum(transactions.values()) == sum(part.gross_fen for part in parts)
        else (),
        asked_us=head.requested_us,
        number=head.number,
    )
