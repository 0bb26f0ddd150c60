"""What the platform remembers: sellers with their stock, and every application with its tries."""

from __future__ import annotations

from dataclasses import dataclass, field

from protocols.fapiao import (
    LITRES_PER_TON,
    FapiaoEvent,
    FapiaoState,
    FuelLine,
    IssueRequest,
    LineFigures,
    line_from_quantity,
    move_fapiao,
)

__all__ = ["Application", "Fapiao", "Seller", "litres_e8"]


@dataclass(slots=True)
class Seller:
    """A station company at the tax platform.

    Attributes:
        mchid: its merchant number at WeChat Pay.
        name, taxpayer_id: printed on its invoices.
        notify_url: where events go.
        stock_e8: refined-oil stock, 19-digit code -> litres x 10^8; a code that is absent is unlimited.
        credit_fen: total it may still invoice; None is unlimited.
    """

    mchid: str
    name: str
    taxpayer_id: str
    notify_url: str
    stock_e8: dict[str, int] = field(default_factory=dict)
    credit_fen: int | None = None


@dataclass(slots=True, eq=False)
class Fapiao:
    """One invoice, or one try at it.

    Attributes:
        request: as the merchant sent it.
        figures: one for each line.
        state: see `FAPIAO_MOVES`.
        accepted_us, ended_us: on the run's clock; ``ended_us`` is when it was issued or failed.
        number: 20 digits once issued.
        issued_unix_us: Unix time of issue.
        reason: why it failed.
        red_number: of the red letter.
    """

    request: IssueRequest
    figures: tuple[LineFigures, ...]
    accepted_us: int
    state: FapiaoState = FapiaoState.ISSUE_ACCEPTED
    ended_us: int | None = None
    number: str = ""
    issued_unix_us: int | None = None
    reason: str = ""
    red_number: str = ""

    @property
    def net_fen(self) -> int:
        """Sum without tax."""
        return sum(line.net_fen for line in self.figures)

    @property
    def tax_fen(self) -> int:
        """Sum of tax."""
        return sum(line.tax_fen for line in self.figures)

    def move(self, event: FapiaoEvent) -> None:
        """Go to the next state.

        Raises:
            LocalProtocolError: the state table has no such move.
        """
        self.state = move_fapiao(self.state, event)


@dataclass(slots=True, eq=False)
class Application:
    """All tries under one ``fapiao_apply_id``, oldest first; ``taken_up``: the buyer does not agree to a red letter."""

    mchid: str
    fapiao_apply_id: str
    fapiaos: dict[str, Fapiao] = field(default_factory=dict)
    reverse_reason: str = ""
    taken_up: bool = False

    @property
    def open_or_issued(self) -> list[Fapiao]:
        """Tries that have not failed."""
        return [fapiao for fapiao in self.fapiaos.values() if fapiao.state is not FapiaoState.ISSUE_FAILED]


def figures_of(request: IssueRequest) -> tuple[LineFigures, ...]:
    """Net, tax and price of each line."""
    return tuple(
        line_from_quantity(line.quantity_e8, line.gross_fen, line.tax_rate_e4) for line in request.lines
    )


def litres_e8(line: FuelLine) -> int:
    """Litres x 10^8 that a line takes from the stock."""
    return line.quantity_e8 * (LITRES_PER_TON[line.tax_code] if line.unit == "TON" else 1)
