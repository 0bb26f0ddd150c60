"""The fuel receipt: what stands on it, its bytes, and its reading back from printed text.

The fields are those a customer may ask for at the pump: station, nozzle, product, volume, unit price, amount, time,
sequence number, way of payment, discount and masked card or phone (OIML R 117-1 on printing devices, and the
founding requirements). A repeated receipt carries a mark and a number, so that no copy passes for the original.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

from protocols.escpos.builder import Align, ReceiptBuilder
from protocols.escpos.chinese import text_columns
from protocols.escpos.status import completion_query

__all__ = [
    "PrintedFacts",
    "ReceiptContent",
    "mask_card",
    "mask_phone",
    "read_receipt",
    "receipt_bytes",
    "receipt_sections",
]

_CHINA: Final = timezone(timedelta(hours=8))
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_GRADES: Final = {"92": "92#汽油", "95": "95#汽油", "98": "98#汽油", "diesel": "0#柴油"}
PAID_LABEL: Final = "实付(元)"
_LONG_NUMBER: Final = re.compile(r"\d{11,}")


def mask_card(number: str) -> str:
    """First six and last four digits of a card number, the rest starred (PCI DSS 3.4); short ones keep four."""
    digits = "".join(char for char in number if char.isdigit())
    if len(digits) <= 10:
        return "*" * max(0, len(digits) - 4) + digits[-4:]
    return digits[:6] + "*" * (len(digits) - 10) + digits[-4:]


def mask_phone(number: str) -> str:
    """``138****1234``."""
    digits = "".join(char for char in number if char.isdigit())
    return digits[:3] + "****" + digits[-4:] if len(digits) >= 8 else "****"


@dataclass(frozen=True, slots=True)
class ReceiptContent:
    """A fuel receipt.

    Attributes:
        station_name: as on the sign.
        station: station id, such as ``KM01``.
        nozzle: nozzle number, unique in the station.
        grade: ``92``, ``95``, ``98`` or ``diesel``; anything else is printed as it is.
        volume_ml: the pump's figure.
        price_fen_per_l: the pump's figure.
        amount_fen: the pump's figure, before discount.
        sequence: the delivery's number at its nozzle.
        ended_us: end of the delivery, Unix microseconds; printed in China Standard Time.
        pay_method: in words, such as ``微信支付``.
        discount_fen: taken off the amount.
        card_masked, phone_masked: already masked (`mask_card`, `mask_phone`), or empty.
        order: order number, or empty.
        parts: what a member's points, coupon and balance paid of it, as (label, value); a row each under the way of payment.
        qr_text: invoice link or verification text for the QR code, or empty.
        footer: a last line, or empty.

    Raises:
        ValueError: an amount below zero, a discount above the amount, a grade, name or QR text that cannot be printed, or a card
            or phone that is not masked.
    """

    station_name: str
    station: str
    nozzle: int
    grade: str
    volume_ml: int
    price_fen_per_l: int
    amount_fen: int
    sequence: int
    ended_us: int
    pay_method: str
    discount_fen: int = 0
    card_masked: str = ""
    phone_masked: str = ""
    order: str = ""
    parts: tuple[tuple[str, str], ...] = ()
    qr_text: str = ""
    footer: str = "谢谢惠顾 欢迎再次光临"

    def __post_init__(self) -> None:
        for name in ("volume_ml", "price_fen_per_l", "amount_fen", "sequence", "nozzle", "discount_fen"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} cannot be negative: {getattr(self, name)}")
        if self.discount_fen > self.amount_fen:
            raise ValueError(f"discount_fen {self.discount_fen} is more than amount_fen {self.amount_fen}")
        for name in ("card_masked", "phone_masked"):
            if _LONG_NUMBER.search(getattr(self, name)):
                raise ValueError(f"{name} is not masked; a receipt never shows a whole card or phone number")

    @property
    def paid_fen(self) -> int:
        """Amount less discount."""
        return self.amount_fen - self.discount_fen


def _yuan(fen: int) -> str:
    return f"{fen // 100}.{fen % 100:02d}"


def _litres(ml: int) -> str:
    # A pump counts in steps of 10 ml; a figure finer than that is shown in full rather than rounded.
    return f"{ml // 1000}.{ml % 1000 // 10:02d}" if ml % 10 == 0 else f"{ml // 1000}.{ml % 1000:03d}"


def receipt_sections(content: ReceiptContent) -> tuple[tuple[tuple[str, str], ...], ...]:
    """The rows of a receipt as (label, value): the delivery, the money, the payment. Every kind of printer prints these."""
    when = (_EPOCH + timedelta(seconds=content.ended_us // 1_000_000)).astimezone(_CHINA)
    delivery = (
        ("站号", content.station),
        ("油枪", f"{content.nozzle}号枪"),
        ("油品", _GRADES.get(content.grade, content.grade)),
        ("流水号", str(content.sequence)),
        ("时间", f"{when:%Y-%m-%d %H:%M:%S}"),
    )
    money = (
        ("数量(升)", _litres(content.volume_ml)),
        ("单价(元/升)", _yuan(content.price_fen_per_l)),
        ("金额(元)", _yuan(content.amount_fen)),
        ("优惠(元)", "-" + _yuan(content.discount_fen) if content.discount_fen else ""),
        (PAID_LABEL, _yuan(content.paid_fen)),
    )
    payment = (
        ("支付方式", content.pay_method),
        *content.parts,
        ("卡号", content.card_masked),
        ("手机", content.phone_masked),
        ("订单号", content.order),
    )
    # An empty way of payment still has its row; the others are left out.
    return (
        delivery,
        tuple(row for row in money if row[1]),
        payment[:1] + tuple(row for row in payment[1:] if row[1]),
    )


def receipt_bytes(
    content: ReceiptContent,
    reprint: int = 0,
    *,
    width_columns: int = 48,
    codepage: str = "gb18030",
    confirm: bool = False,
) -> bytes:
    """The whole print job of one receipt, from ESC @ to the cut.

    Args:
        content: what to print.
        reprint: 0 for the original; n >= 1 prints ``补打 REPRINT n`` at top and bottom.
        width_columns: columns of the printer's font A.
        codepage: see `ReceiptBuilder`.
        confirm: append `completion_query`, whose answer proves that the receipt, cut included, is out.

    Raises:
        ValueError: ``reprint`` below 0, or a width or code page the builder refuses.
    """
    if reprint < 0:
        raise ValueError(f"reprint counts from 0, not {reprint}")
    out = ReceiptBuilder(width_columns, codepage).initialise().align(Align.CENTRE)
    fits_double = text_columns(content.station_name) * 2 <= width_columns
    out.size(2 if fits_double else 1, 2).bold().line(content.station_name).bold(False).size()
    out.line("加油小票")
    mark = f"*** 补打 REPRINT {reprint} ***"
    if reprint:
        out.size(1, 2).bold().line(mark).bold(False).size()
    out.align(Align.LEFT)
    for section in receipt_sections(content):
        out.rule()
        for label, value in section:
            if label == PAID_LABEL:
                out.bold().columns(label, value).bold(False)
            else:
                out.columns(label, value)
    out.align(Align.CENTRE)
    if content.qr_text:
        out.feed(1).qr(content.qr_text).feed(1).line("扫码开具电子发票")
    if content.footer:
        out.line(content.footer)
    if reprint:
        out.line(mark)
    out.align(Align.LEFT).cut()
    return bytes(out) + (completion_query() if confirm else b"")


@dataclass(frozen=True, slots=True)
class PrintedFacts:
    """What `read_receipt` found; a field that is not on the paper is None (``reprint``: 0)."""

    station: str | None
    nozzle: int | None
    grade: str | None
    volume_ml: int | None
    price_fen_per_l: int | None
    amount_fen: int | None
    discount_fen: int | None
    paid_fen: int | None
    sequence: int | None
    ended_s: int | None
    pay_method: str | None
    order: str | None
    reprint: int
    card: str | None = None
    phone: str | None = None


def read_receipt(text: str) -> PrintedFacts:
    """Read the facts back from a receipt's printed text, one line of paper per line of ``text``.

    Oracles compare these with the ledger. Unknown lines are passed over; a half-printed receipt gives the fields it got to.
    """
    fields: dict[str, str] = {}
    label_alone = ""
    reprint = 0
    for line in text.splitlines():
        stripped = line.strip()
        mark = re.search(r"补打 REPRINT (\d+)", stripped)
        if mark:
            reprint = int(mark[1])
            continue
        if label_alone and stripped:
            fields.setdefault(label_alone, stripped)
        label, _, value = stripped.partition(" ")
        label_alone = label if label in _LABELS and not value.strip() else ""
        if label in _LABELS and value.strip():
            fields.setdefault(label, value.strip())
    grades = {printed: grade for grade, printed in _GRADES.items()}
    product = fields.get("油品")
    nozzle = fields.get("油枪", "").removesuffix("号枪")
    return PrintedFacts(
        station=fields.get("站号"),
        nozzle=int(nozzle) if nozzle.isdigit() else None,
        grade=grades.get(product, product) if product else None,
        volume_ml=_thousandths(fields.get("数量(升)")),
        price_fen_per_l=_hundredths(fields.get("单价(元/升)")),
        amount_fen=_hundredths(fields.get("金额(元)")),
        discount_fen=_hundredths(fields.get("优惠(元)", "").removeprefix("-")),
        paid_fen=_hundredths(fields.get("实付(元)")),
        sequence=int(fields["流水号"]) if fields.get("流水号", "").isdigit() else None,
        ended_s=_seconds(fields.get("时间")),
        pay_method=fields.get("支付方式"),
        order=fields.get("订单号"),
        reprint=reprint,
        card=fields.get("卡号"),
        phone=fields.get("手机"),
    )


_LABELS: Final = frozenset(
    (
        "站号",
        "油枪",
        "油品",
        "流水号",
        "时间",
        "数量(升)",
        "单价(元/升)",
        "金额(元)",
        "优惠(元)",
        "实付(元)",
        "支付方式",
        "订单号",
        "卡号",
        "手机",
    )
)


def _hundredths(figure: str | None) -> int | None:
    match = re.fullmatch(r"(\d+)\.(\d\d)", figure or "")
    return int(match[1]) * 100 + int(match[2]) if match else None


def _thousandths(figure: str | None) -> int | None:
    match = re.fullmatch(r"(\d+)\.(\d{2,3})", figure or "")
    return int(match[1]) * 1000 + int(match[2].ljust(3, "0")) if match else None


def _seconds(figure: str | None) -> int | None:
    try:
        when = datetime.strptime(figure or "", "%Y-%m-%d %H:%M:%S").replace(tzinfo=_CHINA)
    except ValueError:
        return None
    return int(when.timestamp())
