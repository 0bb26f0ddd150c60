"""What the service needs of a tax platform: hand in, ask, try again, take back. One adapter for each platform.

Calls fail in the ways of `reference.backend.gateways.port`: *unknown* (ask before anything else) and *refused*. Three refusals
mean something of their own: `ExistsError` (it was handed in before: ask), `HeldError` (it cannot be done at present and
will be later: the invoice waits in the queue) and, without a class, that the form itself is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from protocols.fapiao import LITRE, InvoiceLine, LineFigures, line_from_quantity, quantity_of_ml
from reference.backend.gateways.port import GatewayRefusedError, InvoiceReport

__all__ = [
    "PLATFORM_HOLDS",
    "BlueOrder",
    "ExistsError",
    "FuelPart",
    "HeldError",
    "RedOrder",
    "RedPart",
    "RedReport",
    "TaxPort",
    "WrongFormError",
    "reason_waits",
]

PLATFORM_HOLDS = frozenset({"login", "face", "access"})
"""What keeps all of a platform's invoices, not one of them: log in, show the face, have the access granted again."""

_REASONS = (("成品油库存不足", "stock"), ("库存不足", "stock"), ("授信额度", "credit"))


def reason_waits(reason: str | None) -> str | None:
    """``stock`` or ``credit`` when that is why an invoice was not issued: more of it comes, so it is no end."""
    return next((word for text, word in _REASONS if text in (reason or "")), None)


class ExistsError(GatewayRefusedError):
    """The platform has this number already; what became of it is to be asked for."""


class WrongFormError(GatewayRefusedError):
    """The form itself is wrong: sending it again cannot help."""


class HeldError(GatewayRefusedError):
    """Not now, but later.

    Attributes:
        why: ``login``, ``face``, ``access``, ``stock`` or ``credit``.
    """

    def __init__(self, why: str, status: int, code: str, message: str) -> None:
        super().__init__(status, code, message)
        self.why = why


@dataclass(frozen=True, slots=True)
class FuelPart:
    """One line: what one sale contributes.

    Attributes:
        tax_code: 19 digits.
        goods_name, specification: printed on it.
        volume_ml: as the pump measured it.
        gross_fen: what was paid for it, tax included.
        station_name, nozzle, ended_us: where and when (Unix µs).
    """

    tax_code: str
    goods_name: str
    specification: str
    volume_ml: int
    gross_fen: int
    station_name: str
    nozzle: int
    ended_us: int

    @property
    def figures(self) -> LineFigures:
        """Net, tax and net unit price. Raises `ValueError` for no volume at all."""
        return line_from_quantity(quantity_of_ml(self.volume_ml), self.gross_fen)

    @property
    def invoice_line(self) -> InvoiceLine:
        """As platforms other than WeChat's have it: the grade is in the name. Raises `ValueError` as `figures`."""
        grade = self.specification.removesuffix("#")
        name = f"{grade}号{self.goods_name}" if grade else self.goods_name
        return InvoiceLine(self.tax_code, name, LITRE, self.figures, self.specification)


@dataclass(frozen=True, slots=True)
class BlueOrder:
    """One invoice as we want it.

    Attributes:
        serial: our number for it, never changed.
        try_id: number of this try, where the platform has such numbers.
        title_type, buyer_name, buyer_tax_id: for whom.
        parts: one for each line.
        transactions: (number of the payment at WeChat Pay, fen).
        asked_us: when it was asked for, Unix µs.
        number: 20 digits once issued.
    """

    serial: str
    try_id: str
    title_type: str
    buyer_name: str = field(repr=False)
    buyer_tax_id: str = field(repr=False)
    parts: tuple[FuelPart, ...]
    transactions: tuple[tuple[str, int], ...] = ()
    asked_us: int = 0
    number: str | None = None


@dataclass(frozen=True, slots=True)
class RedPart:
    """What a red letter takes back of one line; positive figures, a price that is lowered takes no litres back."""

    line: int
    volume_ml: int
    net_fen: int
    tax_fen: int


@dataclass(frozen=True, slots=True)
class RedOrder:
    """One red letter as we want it.

    Attributes:
        red_id: our number for it, 20 letters and digits.
        blue: the invoice that it takes back.
        reason: the bureau's label, 01 to 04.
        parts: what it takes back, of each line.
        is_whole: whether that is all of the invoice.
    """

    red_id: str
    blue: BlueOrder
    reason: str
    parts: tuple[RedPart, ...]
    is_whole: bool


@dataclass(frozen=True, slots=True)
class RedReport:
    """Where a red letter stands.

    Attributes:
        form_state: of its confirmation form, 01 to 10; None where the platform shows none.
        form_number: the form's number at the bureau.
        number: 20 digits once issued.
        refused: why the platform gave it up.
    """

    form_state: str | None = None
    form_number: str | None = None
    number: str | None = None
    refused: str | None = None


class TaxPort(Protocol):
    """A tax platform.

    Attributes:
        name: as in the settings and the tables.
        takes_parts: whether a red letter may take back a part of an invoice; else all of it goes, and a new one follows.
        tries: how often a failed invoice may be tried under one serial; None as often as one likes.
    """

    name: str
    takes_parts: bool
    tries: int | None

    async def issue(self, order: BlueOrder) -> InvoiceReport | None:
        """Hand in; None means accepted. Again after a failure, too. Raises `ExistsError`, `HeldError` and the port's errors."""

    async def retry(self, order: BlueOrder) -> InvoiceReport | None:
        """Try a failed one again, under the same serial."""

    async def query(self, order: BlueOrder) -> InvoiceReport | None:
        """Where it stands; None if the platform does not have it."""

    async def session(self) -> str | None:
        """``ok``, ``login`` or ``face``; None if the platform does not tell."""

    async def enter_red(self, red: RedOrder) -> RedReport:
        """Ask for a red letter. Repeating it gives the one there is."""

    async def query_red(self, red: RedOrder) -> RedReport | None:
        """Where it stands; None if it was not asked for."""

    async def revoke_red(self, red: RedOrder) -> None:
        """Take the confirmation form back. Raises `GatewayRefusedError` where that is not possible (any more)."""
