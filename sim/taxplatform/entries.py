"""The entries of the book: blue invoices, red letters, and the forms between them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from protocols.fapiao import FapiaoEvent, FapiaoState, InvoiceLine, RedFormState, move_fapiao

__all__ = ["Draft", "Invoice", "RedForm", "Taxpayer"]


@dataclass(slots=True)
class Taxpayer:
    """A company that issues; see `TaxAccount`. A `Seller` of the WeChat platform will do as well."""

    taxpayer_id: str
    name: str
    stock_e8: dict[str, int] = field(default_factory=dict)
    credit_fen: int | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """What an invoice is to say.

    Attributes:
        platform: where it was ordered.
        taxpayer_id: the seller.
        serial: the merchant's number, unique for (platform, seller).
        kind: the platform's word for ordinary or special.
        buyer_name, buyer_tax_id: for whom.
        lines: at least one; of a red letter all amounts are negative.
        blue_number: of a red letter, the invoice it reverses; else empty.
        red_form_number: of a red letter, its form.
        callback_url, clerk, remark: as ordered.
    """

    platform: str
    taxpayer_id: str
    serial: str
    kind: str
    buyer_name: str = field(repr=False)
    buyer_tax_id: str = field(repr=False)
    lines: tuple[InvoiceLine, ...]
    blue_number: str = ""
    red_form_number: str = ""
    callback_url: str = ""
    clerk: str = ""
    remark: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """Where it stands in the book."""
        return self.platform, self.taxpayer_id, self.serial

    @property
    def is_red(self) -> bool:
        """Whether it is a red letter."""
        return bool(self.blue_number)

    @property
    def net_fen(self) -> int:
        """Sum without tax."""
        return sum(line.figures.net_fen for line in self.lines)

    @property
    def tax_fen(self) -> int:
        """Sum of tax."""
        return sum(line.figures.tax_fen for line in self.lines)

    @property
    def gross_fen(self) -> int:
        """Sum with tax."""
        return sum(line.figures.gross_fen for line in self.lines)


@dataclass(slots=True, eq=False)
class Invoice:
    """One invoice.

    Attributes:
        draft: what it says.
        accepted_us, ended_us: on the run's clock; ``ended_us`` is when it was issued or failed.
        on_end: called then.
        state: see `FAPIAO_MOVES`.
        number: 20 digits once issued.
        issued_unix_us: Unix time of issue.
        reason: why it failed.
        taken_up: the buyer has deducted it or entered it in the books.
        red_claims: the forms entered for it.
        red_numbers: its red letters; several when they are partial.
    """

    draft: Draft
    accepted_us: int
    on_end: Callable[[Invoice], object] | None = None
    state: FapiaoState = FapiaoState.ISSUE_ACCEPTED
    ended_us: int | None = None
    number: str = ""
    issued_unix_us: int | None = None
    reason: str = ""
    taken_up: bool = False
    red_claims: list[RedForm] = field(default_factory=list)
    red_numbers: list[str] = field(default_factory=list)

    def move(self, event: FapiaoEvent) -> None:
        """Go to the next state.

        Raises:
            LocalProtocolError: the state table has no such move.
        """
        self.state = move_fapiao(self.state, event)

    def end(self, now_us: int) -> None:
        """It is issued, or has failed."""
        self.ended_us = now_us
        if self.on_end is not None:
            self.on_end(self)


@dataclass(slots=True, eq=False)
class RedForm:
    """A confirmation form.

    Attributes:
        blue: what it reverses.
        serial: the merchant's number.
        platform: where it was entered.
        sequence: running number in the book.
        by_seller: who entered it.
        reason: the bureau's label.
        lines: of the red letter.
        auto_issue: whether the red letter follows by itself.
        red_serial: serial of the red letter.
        entered_unix_us, confirmed_unix_us: when.
        state: see `RED_FORM_MOVES`.
        red: the red letter once it is ordered.
        on_red: called when that is issued.
        callback_url: where the result is pushed.
    """

    blue: Invoice
    serial: str
    platform: str
    sequence: int
    by_seller: bool
    reason: str
    lines: tuple[InvoiceLine, ...]
    auto_issue: bool
    red_serial: str
    entered_unix_us: int
    state: RedFormState
    on_red: Callable[[Invoice], object] | None = None
    confirmed_unix_us: int | None = None
    red: Invoice | None = None
    callback_url: str = ""

    def side(self, seller: bool) -> str:
        """Taxpayer id of the seller or of the buyer."""
        draft = self.blue.draft
        return draft.taxpayer_id if seller else draft.buyer_tax_id

    @property
    def number(self) -> str:
        """18 digits, as the bureau gives them."""
        return f"{990_000_000_000_000_000 + self.sequence}"

    @property
    def uuid(self) -> str:
        """32 hex digits."""
        return f"{self.sequence:032x}"

    @property
    def net_fen(self) -> int:
        """Sum without tax, negative."""
        return sum(line.figures.net_fen for line in self.lines)

    @property
    def tax_fen(self) -> int:
        """Sum of tax, negative."""
        return sum(line.figures.tax_fen for line in self.lines)

    @property
    def gross_fen(self) -> int:
        """Sum with tax, negative."""
        return self.net_fen + self.tax_fen

    @property
    def is_full(self) -> bool:
        """Whether it reverses all of the blue invoice."""
        return -self.gross_fen == self.blue.draft.gross_fen
