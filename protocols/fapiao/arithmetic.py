"""The arithmetic of a fuel invoice, in integers only.

The tax-inclusive total is what the customer paid, so it is the anchor: net and tax are split from it and add up to it
exactly. Quantity and net unit price carry 8 decimals. Checked against an issued invoice of 2023-08-10: 92# petrol,
12.29193342 L x 6.91150442 = 84.96, tax 11.04, total 96.00 (pump price 7.81).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = [
    "FUEL_TAX_RATE_E4",
    "QUANTITY_PER_ML",
    "QUANTITY_SCALE",
    "LineFigures",
    "line_from_price",
    "line_from_quantity",
    "line_problems",
    "quantity_of_ml",
    "split_gross",
]

FUEL_TAX_RATE_E4: Final = 1300
"""VAT on petrol and diesel, 13 %, in the API's unit of 1/10000."""

QUANTITY_SCALE: Final = 10**8
"""The API's quantity is an integer, x 10^8 (WXDOC 4016760559)."""

QUANTITY_PER_ML: Final = QUANTITY_SCALE // 1000
"""Quantity of one millilitre when the unit is the litre."""

_MAX_QUANTITY: Final = (
    100_000 * QUANTITY_SCALE
)  # two road tankers; keeps the price's rounding under the tolerance


def _divide_half_up(numerator: int, denominator: int) -> int:
    return (2 * numerator + denominator) // (2 * denominator)


@dataclass(frozen=True, slots=True)
class LineFigures:
    """One invoice line.

    Attributes:
        quantity_e8: quantity x 10^8, in the line's unit.
        gross_fen: tax-inclusive total.
        net_fen: without tax.
        tax_fen: tax.
        net_price_e8: yuan per unit without tax, x 10^8.
        tax_rate_e4: 1300 is 13 %.
    """

    quantity_e8: int
    gross_fen: int
    net_fen: int
    tax_fen: int
    net_price_e8: int
    tax_rate_e4: int = FUEL_TAX_RATE_E4


def quantity_of_ml(volume_ml: int) -> int:
    """Litres x 10^8 of a volume in millilitres, exactly."""
    return volume_ml * QUANTITY_PER_ML


def split_gross(gross_fen: int, tax_rate_e4: int = FUEL_TAX_RATE_E4) -> tuple[int, int]:
    """Net and tax of a tax-inclusive total; net is rounded half up, tax is the rest, so they add up exactly.

    Raises:
        ValueError: a negative total or rate.
    """
    if gross_fen < 0 or tax_rate_e4 < 0:
        raise ValueError(f"total and tax rate cannot be negative: {gross_fen}, {tax_rate_e4}")
    net_fen = _divide_half_up(gross_fen * 10_000, 10_000 + tax_rate_e4)
    return net_fen, gross_fen - net_fen


def line_from_quantity(quantity_e8: int, gross_fen: int, tax_rate_e4: int = FUEL_TAX_RATE_E4) -> LineFigures:
    """A line whose quantity is what the pump measured (INV: quantity equals the sale).

    The net unit price follows from total and quantity, so a discount lowers the price and never the litres.

    Raises:
        ValueError: a quantity of 0 or less or beyond 100,000 units, or a negative total.
    """
    if not 0 < quantity_e8 <= _MAX_QUANTITY:
        raise ValueError(f"quantity_e8 is 1 to {_MAX_QUANTITY}, not {quantity_e8}")
    net_fen, tax_fen = split_gross(gross_fen, tax_rate_e4)
    # (gross / 1.13) / quantity, rounded once: yuan x 10^8 = fen x 10^6.
    numerator = gross_fen * 10_000 * 10**6 * QUANTITY_SCALE
    net_price_e8 = _divide_half_up(numerator, (10_000 + tax_rate_e4) * quantity_e8)
    return LineFigures(quantity_e8, gross_fen, net_fen, tax_fen, net_price_e8, tax_rate_e4)


def line_from_price(gross_fen: int, price_fen_per_l: int, tax_rate_e4: int = FUEL_TAX_RATE_E4) -> LineFigures:
    """A line whose price is the pump's: quantity = total / price and net price = price / 1.13, to 8 decimals each.

    This is how invoicing software at stations works backwards from the paid amount.

    Raises:
        ValueError: a price of 0 or less, or a negative total.
    """
    if price_fen_per_l <= 0:
        raise ValueError(f"price_fen_per_l must be above 0, not {price_fen_per_l}")
    net_fen, tax_fen = split_gross(gross_fen, tax_rate_e4)
    quantity_e8 = _divide_half_up(gross_fen * QUANTITY_SCALE, price_fen_per_l)
    net_price_e8 = _divide_half_up(price_fen_per_l * 10_000 * 10**6, 10_000 + tax_rate_e4)
    return LineFigures(quantity_e8, gross_fen, net_fen, tax_fen, net_price_e8, tax_rate_e4)


def line_problems(line: LineFigures, *, tax_tolerance_fen: int = 1) -> tuple[str, ...]:
    """What is wrong with a line; empty when it would pass a tax platform's checks.

    Net + tax = gross exactly; |quantity x net price - net| < 0.01 yuan; tax within ``tax_tolerance_fen`` of net x rate.
    """
    problems = []
    if line.net_fen + line.tax_fen != line.gross_fen:
        problems.append(f"net {line.net_fen} + tax {line.tax_fen} is not gross {line.gross_fen}")
    # Yuan x 10^16 on both sides; 0.01 yuan is 10^14 there.
    if abs(line.quantity_e8 * line.net_price_e8 - line.net_fen * 10**14) >= 10**14:
        problems.append(f"quantity x net price is 0.01 yuan or more away from net {line.net_fen} fen")
    tax_fen = _divide_half_up(line.net_fen * line.tax_rate_e4, 10_000)
    if abs(line.tax_fen - tax_fen) > tax_tolerance_fen:
        problems.append(
            f"tax {line.tax_fen} fen is more than {tax_tolerance_fen} fen from net x rate = {tax_fen}"
        )
    return tuple(problems)
