"""The parts of one instance, by name.

Each part holds the core and calls the others through it, so that a test (or a drill) can put a deliberately broken one
in its place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from protocols.cards import mask_private
from reference.backend.gateways.port import ContractGateway, Gateway
from reference.backend.identifiers import Identifiers
from reference.backend.live import LiveBoard
from reference.backend.payments.trade_number import TradeNumbers
from reference.backend.settings import BackendSettings
from reference.backend.site_clocks import SiteClocks
from reference.backend.store.database import Database, Transaction
from reference.backend.store.schema import alarms, ledger

if TYPE_CHECKING:
    from reference.backend.attendants.attendants import Attendants
    from reference.backend.channels import Channels
    from reference.backend.commands import Commands
    from reference.backend.gateways.unionpay import UnionPayClient
    from reference.backend.invoices.deliveries import Deliveries
    from reference.backend.invoices.desk import InvoiceDesk
    from reference.backend.invoices.invoices import Invoices
    from reference.backend.invoices.queue import TaxQueue
    from reference.backend.invoices.red_letters import RedLetters
    from reference.backend.invoices.requests import InvoiceRequests
    from reference.backend.members.cards import Cards
    from reference.backend.members.contracts import Contracts
    from reference.backend.members.members import Members
    from reference.backend.orders import Orders
    from reference.backend.outbox import Outbox
    from reference.backend.payments.attempts import Attempts
    from reference.backend.payments.endings import Endings
    from reference.backend.payments.payments import Payments
    from reference.backend.payments.pump_codes import PumpCodes
    from reference.backend.reconciliation.daily import Reconciliation
    from reference.backend.refunds.refunds import Refunds
    from reference.backend.sales import Sales
    from reference.backend.shifts.days import BusinessDays
    from reference.backend.shifts.proving import Proving
    from reference.backend.shifts.shifts import Shifts
    from reference.backend.stations import Stations
    from reference.backend.tanks.tanks import Tanks
    from reference.backend.tax import TaxPort
    from reference.backend.voice.announcer import Announcer

__all__ = ["Core"]


class Core:
    """One instance's parts.

    Attributes:
        stopping: set while the instance stops; long polls and streams end then.
    """

    stations: Stations
    attendants: Attendants
    commands: Commands
    sales: Sales
    orders: Orders
    channels: Channels
    attempts: Attempts
    endings: Endings
    payments: Payments
    members: Members
    contracts: Contracts
    contract_gateway: ContractGateway
    pump_codes: PumpCodes
    refunds: Refunds
    reconciliation: Reconciliation
    invoices: Invoices
    invoice_desk: InvoiceDesk
    invoice_requests: InvoiceRequests
    deliveries: Deliveries
    red_letters: RedLetters
    tax: dict[str, TaxPort]
    tax_queue: TaxQueue
    outbox: Outbox
    cards: Cards
    tanks: Tanks
    shifts: Shifts
    days: BusinessDays
    proving: Proving
    announcer: Announcer

    def __init__(
        self,
        settings: BackendSettings,
        db: Database,
        clock_us: Callable[[], int],
        ids: Identifiers,
        gateway: Gateway,
        instance: str,
    ) -> None:
        self.settings = settings
        self.db = db
        self.clock_us = clock_us
        self.ids = ids
        self.gateway = gateway
        self.instance = instance
        self.unionpay: UnionPayClient | None = None
        self.live = LiveBoard(db.hub, clock_us)
        self.site_clocks = SiteClocks(clock_us)
        self.numbers = TradeNumbers(settings.service_secret.encode(), clock_us, ids.bits)
        self.stopping = False

    async def alarm(self, tx: Transaction, kind: str, subject: str, detail: str) -> None:
        """Put something on record that a person must look at."""
        await tx.insert(
            alarms,
            {
                "kind": kind,
                "subject": mask_private(subject[:120]),
                "detail": mask_private(detail),
                "raised_us": self.clock_us(),
            },
        )

    async def alarm_alone(self, kind: str, subject: str, detail: str) -> None:
        """An alarm in a transaction of its own, when the rest is refused."""
        await self.db.run(lambda tx: self.alarm(tx, kind, subject, detail))

    async def enter(
        self,
        tx: Transaction,
        *,
        kind: str,
        entry_key: str,
        station: str,
        nozzle: int,
        amount_fen: int,
        volume_ml: int = 0,
        sequence: int | None = None,
        sale_id: str | None = None,
        order_id: str | None = None,
        corrects: int | None = None,
        content: str = "{}",
    ) -> bool:
        """Append a ledger entry unless its key is there already; tells whether it was appended."""
        return await tx.insert_new(
            ledger,
            {
                "kind": kind,
                "entry_key": entry_key,
                "corrects": corrects,
                "station": station,
                "nozzle": nozzle,
                "sequence": sequence,
                "sale_id": sale_id,
                "order_id": order_id,
                "volume_ml": volume_ml,
                "amount_fen": amount_fen,
                "content": content,
                "instance": self.instance,
                "recorded_us": self.clock_us(),
            },
        )
