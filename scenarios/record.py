"""What a run leaves behind for the oracles: one frozen record, filled by the runner from independent witnesses.

Each list comes from another part of the system: deliveries from the dispenser model, tank draws from the tanks' own pulse
counters, journal sales from the site, ledger rows from the backend's admin API, gateway transactions from the gateway. An oracle
compares witnesses; it never asks one twice. Times are microseconds on one clock (the run's), volumes millilitres, money fen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from scenarios.member_record import MemberRecord
from scenarios.reconciliation_record import ReconciliationRecord
from scenarios.shift_record import HandoverWitness, MoneyEntry, ReturnedFuel, ShiftReport
from scenarios.verdicts import Clock
from scenarios.voice_record import VoiceRecord

__all__ = [
    "SEGMENTS",
    "AcknowledgedWrite",
    "BookedDelivery",
    "Delivery",
    "FailoverTrial",
    "FaultLanding",
    "GatewayTransaction",
    "HarnessLag",
    "Invoice",
    "JournalSale",
    "LedgerSale",
    "LiveObservation",
    "OperationCount",
    "Order",
    "Payment",
    "Receipt",
    "Replication",
    "RunRecord",
    "SaleKey",
    "TankDraw",
    "TankWitness",
    "TankerWitness",
]

SaleKey = tuple[str, int, int]
"""(station, nozzle, sequence): the key of a physical delivery."""

SEGMENTS = (
    "payment_controlled",
    "payment_end_to_end",
    "payment_human",
    "invoice_issued",
    "invoice_answered",
    "live_amount",
)
"""Names of the latency segments in `RunRecord.latencies_us`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A physical delivery, as the dispenser's own journal has it."""

    station: str
    nozzle: int
    sequence: int
    grade: str
    tank: int
    volume_ml: int
    amount_fen: int
    price_fen_per_l: int
    started_us: int
    ended_us: int
    end_total_volume_ml: int
    end_total_amount_fen: int
    is_test: bool = False
    """It went into the proving can and back into its tank: nobody pays for it."""
    unpaid_by_intent: bool = False
    """The driver of the scenario left without paying; liveness does not wait for this one."""
    hung_up_us: int | None = None
    """When the driver put the nozzle back, later than ``ended_us`` where a preset was reached; None: nobody was watched."""

    @property
    def key(self) -> SaleKey:
        """Key of the delivery."""
        return self.station, self.nozzle, self.sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalSale:
    """A sale in the site controller's journal."""

    station: str
    nozzle: int
    sequence: int
    volume_ml: int
    amount_fen: int
    price_fen_per_l: int
    end_total_volume_ml: int | None = None
    """The nozzle's totaliser after it, as captured; so is the next. None: not told."""
    end_total_amount_fen: int | None = None

    @property
    def key(self) -> SaleKey:
        """Key of the delivery it captured."""
        return self.station, self.nozzle, self.sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerSale:
    """A row of the backend's append-only ledger."""

    sale_id: str
    station: str
    nozzle: int
    sequence: int
    volume_ml: int
    amount_fen: int
    price_fen_per_l: int
    paid_fen: int
    recorded_us: int
    settled_us: int | None = None
    corrects: str | None = None
    grade: str = ""
    is_test: bool = False
    """The backend takes it for a test delivery."""
    shift: int | None = None
    """The closed shift it stands in; 0 before the first, None in the open one."""
    flags: tuple[str, ...] = ()
    end_total_volume_ml: int | None = None
    """The nozzle's totaliser after it, as captured; so is the next. None: not told."""
    end_total_amount_fen: int | None = None
    ended_us: int | None = None
    """When the delivery ended, by the site's clock; None: not told."""
    discount_fen: int = 0
    """Of ``paid_fen``, what was paid with points and coupons: no money, and on no invoice."""
    tenders: frozenset[str] = frozenset()
    """How it was paid, by the ledger's words such as ``wechatpay`` and ``cash``; empty: not told."""

    @property
    def key(self) -> SaleKey:
        """Key of the delivery it sells."""
        return self.station, self.nozzle, self.sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order of a phone."""

    order_id: str
    state: str
    sale_id: str | None
    payable_fen: int
    paid_fen: int
    refunded_fen: int
    is_prepaid: bool = False
    updated_us: int = 0
    wants_invoice: bool = False
    """As its phone says; the other fields are the backend's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """A payment as the backend tells it. ``captured_fen`` is what is kept, net of refunds."""

    out_trade_no: str
    order_id: str | None
    sale_id: str | None
    authorised_fen: int
    captured_fen: int
    reversed_fen: int
    refunded_fen: int
    cash_fen: int = 0
    """Of ``refunded_fen``, what was paid out at the till; the gateway knows nothing of it."""
    pending: bool = False
    """Still under way when the run ended: neither captured nor reversed; conservation waits for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaidOut:
    """Money that left the till for a refund that had bounced, as whoever paid it out says."""

    out_refund_no: str
    amount_fen: int
    at_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayTransaction:
    """A transaction in the gateway's own ledger. ``paid_fen`` is gross, before refunds."""

    out_trade_no: str
    state: str
    total_fen: int
    paid_fen: int
    refunded_fen: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoice:
    """An invoice as the backend tells it. Red ones name the number they cancel."""

    sale_id: str
    colour: Literal["blue", "red"]
    state: Literal["requested", "issuing", "issued", "failed"]
    amount_fen: int
    number: str | None
    requested_us: int
    issued_us: int | None = None
    cancels: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TankDraw:
    """What a tank gave out, by its own pulse counter, and what test deliveries brought back."""

    tank: int
    volume_ml: int
    returned_ml: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveObservation:
    """What a phone showed at an instant, for the sale it ended in."""

    key: SaleKey
    at_us: int
    volume_ml: int
    amount_fen: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A receipt read back from the printer's paper. None: that row is not on it; ``reprint`` 0: an original, or not told."""

    sale_id: str
    volume_ml: int
    amount_fen: int
    copy: bool = False
    complete: bool = True
    reprint: int = 0
    nozzle: int | None = None
    price_fen_per_l: int | None = None
    grade: str | None = None
    discount_fen: int | None = None
    paid_fen: int | None = None
    pay_method: str | None = None
    ended_us: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultLanding:
    """A planned fault, and how often it touched something."""

    name: str
    target: str
    kind: str
    at_us: int
    healed_us: int | None
    landed: int

    @property
    def spoils_a_bill(self) -> bool:
        """It is about a file alone: whatever else is under way need not wait for its end."""
        return self.target == "gateway" and self.kind.startswith("bill_")


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationCount:
    """How often a kind of operation was tried, and how often it succeeded."""

    kind: str
    tried: int
    succeeded: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FailoverTrial:
    """One kill. ``first_acknowledged_us`` is None when no write was acknowledged before the trial gave up."""

    instance: str
    killed_us: int
    first_acknowledged_us: int | None
    in_flight: int
    gave_up_us: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AcknowledgedWrite:
    """A write the client saw acknowledged, and whether it was found afterwards."""

    key: str
    acknowledged_us: int
    found: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class HarnessLag:
    """The load generator's own delay: intended start to real start, one value an arrival; arrivals it dropped."""

    lags_us: tuple[int, ...]
    dropped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Replication:
    """One more run of the scenario under a seed of its own: its latencies, and which safety checks it broke."""

    seed: str
    failures: tuple[str, ...]
    latencies_us: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TankWitness:
    """A tank (or tanks joined by a siphon) between its gauge's first and last reading.

    Opening and closing are the gauge's, as the backend has them; what tankers brought, what leaked and what warming added are
    the tank's own. ``error_ml`` is the gauge's declared error of the two readings together.
    """

    group: int
    tanks: tuple[int, ...]
    from_us: int
    until_us: int
    opening_ml: int
    closing_ml: int
    received_ml: int
    leaked_ml: int
    expanded_ml: int
    error_ml: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TankerWitness:
    """What a road tanker really discharged."""

    group: int
    volume_ml: int
    started_us: int
    ended_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BookedDelivery:
    """A delivery in the backend's stock book."""

    entry_key: str
    group: int
    site_delivery: str
    volume_ml: int
    started_us: int
    ended_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """Everything the oracles see of one run on one clock."""

    clock: Clock
    ended_us: int
    deliveries: tuple[Delivery, ...] = ()
    journal: tuple[JournalSale, ...] = ()
    ledger: tuple[LedgerSale, ...] = ()
    orders: tuple[Order, ...] = ()
    payments: tuple[Payment, ...] = ()
    gateway: tuple[GatewayTransaction, ...] = ()
    paid_out: tuple[PaidOut, ...] = ()
    invoices: tuple[Invoice, ...] = ()
    tank_draws: tuple[TankDraw, ...] = ()
    tanks: tuple[TankWitness, ...] = ()
    """Of a station with a gauge; so are the next two."""
    tankers: tuple[TankerWitness, ...] = ()
    booked: tuple[BookedDelivery, ...] = ()
    handovers: tuple[HandoverWitness, ...] = ()
    shifts: tuple[ShiftReport, ...] = ()
    money: tuple[MoneyEntry, ...] = ()
    """Of a run with handovers; so are the two before."""
    returned: tuple[ReturnedFuel, ...] = ()
    members: MemberRecord | None = None
    """Of a scenario whose drivers hold something at the station, or have signed a contract."""
    reconciliation: ReconciliationRecord | None = None
    """Of a backend that reconciles."""
    voice: VoiceRecord | None = None
    """Of a station with a loudspeaker."""
    live: tuple[LiveObservation, ...] = ()
    receipts: tuple[Receipt, ...] = ()
    receipts_refused: int = 0
    """Print commands that the station refused because its printer's queue was full."""
    faults: tuple[FaultLanding, ...] = ()
    operations: tuple[OperationCount, ...] = ()
    latencies_us: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    failovers: tuple[FailoverTrial, ...] = ()
    writes: tuple[AcknowledgedWrite, ...] = ()
    harness: HarnessLag | None = None
    replications: tuple[Replication, ...] = ()
    """More runs under other seeds; the runner pools their latencies into ``latencies_us``."""
    twin_differences: tuple[str, ...] | None = None
    """What differs in a twin run without idle polls; None when there was no twin."""
