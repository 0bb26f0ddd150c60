"""A line of an invoice as every platform has it, and the checks a tax platform makes before it lets one through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from protocols.fapiao.arithmetic import (
    LineFigures,
    line_from_quantity,
    line_problems,
    split_gross,
)

__all__ = ["LITRE", "TAX_TOLERANCE_FEN", "TON", "InvoiceLine", "LineError", "figure_line"]

LITRE: Final = "升"
TON: Final = "吨"

TAX_TOLERANCE_FEN: Final = 6
"""Tax may be so far from net x rate, a line. An assumption: platforms are said to allow about 0.06 yuan."""


class LineError(ValueError):
    """A line that a tax platform refuses; the message is for the person who reads it."""


@dataclass(frozen=True, slots=True)
class InvoiceLine:
    """One line.

    Attributes:
        tax_code: 19 digits.
        name: of the goods.
        unit: ``升``, ``吨`` or what the goods are counted in.
        figures: quantity, amounts and net price; negative quantity and amounts on a red letter.
        specification: free text.
    """

    tax_code: str
    name: str
    unit: str
    figures: LineFigures
    specification: str = ""

    def litres_e8(self, litres_per_ton: Mapping[str, int]) -> int:
        """Litres x 10^8 that the line takes from the refined-oil stock; 0 for what is no fuel."""
        factor = litres_per_ton.get(self.tax_code)
        if factor is None:
            return 0
        return self.figures.quantity_e8 * (factor if self.unit == TON else 1)

    def red(self, parts: Sequence[int] | None = None) -> InvoiceLine:
        """The line of a red letter: all of it, or (quantity_e8, net_fen, tax_fen) of it, all negative.

        Raises:
            LineError: the part is not negative, or more than the line.
        """
        old = self.figures
        quantity_e8, net_fen, tax_fen = parts or (-old.quantity_e8, -old.net_fen, -old.tax_fen)
        if not (-old.net_fen <= net_fen < 0 and -old.tax_fen <= tax_fen <= 0):
            raise LineError("红字金额须为负数且不超过原蓝票金额")
        if not -old.quantity_e8 <= quantity_e8 <= 0:
            raise LineError("红字数量须为负数且不超过原蓝票数量")
        figures = LineFigures(
            quantity_e8, net_fen + tax_fen, net_fen, tax_fen, old.net_price_e8, old.tax_rate_e4
        )
        return InvoiceLine(self.tax_code, self.name, self.unit, figures, self.specification)


def figure_line(
    *,
    quantity_e8: int | None,
    price_e8: int | None,
    price_has_tax: bool,
    gross_fen: int | None,
    net_fen: int | None,
    tax_fen: int | None,
    tax_rate_e4: int,
) -> LineFigures:
    """Fill in what a request left out and check what it says.

    Amounts win over quantity x price; what is given must fit: net + tax = gross exactly, |quantity x price - amount|
    below 0.01 yuan, tax within `TAX_TOLERANCE_FEN` of net x rate.

    Raises:
        LineError: it does not fit, or there is too little to go on.
    """
    if not 0 <= tax_rate_e4 <= 10_000:
        raise LineError("税率不正确")
    if quantity_e8 is None:
        raise LineError("数量不能为空")
    if gross_fen is None:
        gross_fen, net_fen = _gross_and_net(
            quantity_e8, price_e8, price_has_tax, net_fen, tax_fen, tax_rate_e4
        )
    if gross_fen <= 0:
        raise LineError("开票金额必须大于0")
    if net_fen is None:
        net_fen = split_gross(gross_fen, tax_rate_e4)[0] if tax_fen is None else gross_fen - tax_fen
    if tax_fen is None:
        tax_fen = gross_fen - net_fen
    try:
        net_price_e8 = line_from_quantity(quantity_e8, gross_fen, tax_rate_e4).net_price_e8
    except ValueError:
        raise LineError("数量不正确") from None
    if price_e8 is not None:
        amount_fen = gross_fen if price_has_tax else net_fen
        if abs(quantity_e8 * price_e8 - amount_fen * 10**14) >= 10**14:
            raise LineError("数量乘以单价与金额的误差超过0.01")
        if not price_has_tax:
            net_price_e8 = price_e8
    figures = LineFigures(quantity_e8, gross_fen, net_fen, tax_fen, net_price_e8, tax_rate_e4)
    _check(figures)
    return figures


def _check(figures: LineFigures) -> None:
    if figures.net_fen + figures.tax_fen != figures.gross_fen:
        raise LineError("不含税金额与税额之和不等于价税合计")
    if line_problems(figures, tax_tolerance_fen=TAX_TOLERANCE_FEN):
        raise LineError("税额与不含税金额乘以税率的误差超过允许范围")


def _gross_and_net(
    quantity_e8: int,
    price_e8: int | None,
    price_has_tax: bool,
    net_fen: int | None,
    tax_fen: int | None,
    tax_rate_e4: int,
) -> tuple[int, int | None]:
    """The total of a line that does not say it, and its net amount where that follows."""
    if net_fen is None and price_e8 is not None:
        amount_fen = _round_half_up(quantity_e8 * price_e8, 10**14)
        if price_has_tax:
            return amount_fen, None
        net_fen = amount_fen
    if net_fen is None:
        raise LineError("金额与单价不能同时为空")
    return net_fen + (_round_half_up(net_fen * tax_rate_e4, 10_000) if tax_fen is None else tax_fen), net_fen


def _round_half_up(numerator: int, denominator: int) -> int:
    return (2 * numerator + denominator) // (2 * denominator)
