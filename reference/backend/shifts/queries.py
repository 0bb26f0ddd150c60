"""The statements of `reference.backend.shifts.shifts`."""

from __future__ import annotations

from sqlalchemy import BigInteger, bindparam, func, or_, select, text, update

from reference.backend.attendants.schema import SHIFT_US, duties
from reference.backend.store.schema import (
    alarms,
    handovers,
    ledger,
    nozzles,
    sales,
    shift_entries,
    stations,
)
from reference.backend.tanks.schema import stock_book, tank_readings

__all__ = [
    "CLOSER",
    "COVERS",
    "ENTRIES",
    "GAUGE",
    "LAST",
    "LATE",
    "LOCK",
    "MONEY",
    "ONE",
    "OPEN",
    "PAGE",
    "PLACE",
    "PUT",
    "PUT_ALL",
    "RECEIVED",
    "REPORTS",
    "SALES",
    "STATION",
    "UNPAID",
]

STATION = select(stations.c.station).where(stations.c.station == bindparam("of_station"))
LOCK = STATION.with_for_update()
COVERS = (
    select(func.min(handovers.c.number))
    .where(handovers.c.station == bindparam("of_station"), handovers.c.at_us >= bindparam("ended"))
    .scalar_subquery()
)
ON_DUTY = (
    select(duties.c.attendant)
    .where(
        duties.c.station == stations.c.station,
        or_(duties.c.fuelling_point == 0, duties.c.fuelling_point == nozzles.c.fuelling_point),
        duties.c.from_us <= bindparam("ended"),
        duties.c.from_us > bindparam("ended", type_=BigInteger) - SHIFT_US,
    )
    .order_by(duties.c.from_us.desc(), duties.c.id.desc())
    .limit(1)
    .correlate(stations, nozzles)
    .scalar_subquery()
)
PLACE = (
    select(stations.c.station, nozzles.c.tank, COVERS.label("closer"), ON_DUTY.label("attendant"))
    .outerjoin(nozzles, (nozzles.c.station == stations.c.station) & (nozzles.c.nozzle == bindparam("number")))
    .where(stations.c.station == bindparam("of_station"))
)
CLOSER = select(COVERS.label("closer"))
ONE = select(handovers).where(
    handovers.c.station == bindparam("of_station"), handovers.c.number == bindparam("number")
)
LAST = (
    select(handovers)
    .where(handovers.c.station == bindparam("of_station"))
    .order_by(handovers.c.number.desc())
    .limit(1)
)
PAGE = (
    select(handovers)
    .where(handovers.c.station == bindparam("of_station"), handovers.c.number > bindparam("after"))
    .order_by(handovers.c.number)
    .limit(bindparam("most"))
)
REPORTS = (
    select(handovers)
    .where(handovers.c.report.is_not(None))
    .order_by(handovers.c.station, handovers.c.number)
    .offset(bindparam("after"))
    .limit(bindparam("most"))
)
SALES = (
    select(sales)
    .where(sales.c.station == bindparam("of_station"), sales.c.shift == bindparam("of_shift"))
    .order_by(sales.c.nozzle, sales.c.sequence)
)
OPEN = (
    select(sales)
    .where(sales.c.station == bindparam("of_station"), sales.c.shift.is_(None))
    .order_by(sales.c.nozzle, sales.c.sequence)
)
UNPAID = (
    select(sales)
    .where(
        sales.c.station == bindparam("of_station"),
        or_(sales.c.state == "payable", sales.c.state == "locked"),
        sales.c.amount_fen > 0,
        sales.c.ended_us <= bindparam("until_us"),
        # Identifiers are made so that no alarm masks them.
        sales.c.sale_id.not_in(select(alarms.c.subject).where(alarms.c.kind == "drive_off")),
    )
    .order_by(sales.c.ended_us, sales.c.sale_id)
    .limit(200)
)
PUT = update(sales).where(sales.c.sale_id == bindparam("wanted")).values(shift=bindparam("into"))
PUT_ALL = (
    update(sales)
    .where(
        sales.c.station == bindparam("of_station"),
        sales.c.shift.is_(None),
        sales.c.nozzle == bindparam("number"),
        sales.c.sequence <= bindparam("last"),
    )
    .values(shift=bindparam("into"))
)
MONEY = (
    select(
        ledger.c.kind,
        ledger.c.sale_id,
        ledger.c.order_id,
        ledger.c.amount_fen,
        ledger.c.content,
        ledger.c.recorded_us,
    )
    .where(
        ledger.c.station == bindparam("of_station"),
        text("ledger.kind IN ('payment', 'settlement', 'refund')"),  # as the index says it
        ledger.c.recorded_us > bindparam("from_us"),
        ledger.c.recorded_us <= bindparam("until_us"),
    )
    .order_by(ledger.c.entry_id)
)
ENTRIES = (
    select(shift_entries)
    .where(shift_entries.c.station == bindparam("of_station"), shift_entries.c.shift == bindparam("of_shift"))
    .order_by(shift_entries.c.entry_id)
)
LATE = (
    select(shift_entries)
    .where(
        shift_entries.c.station == bindparam("of_station"),
        shift_entries.c.shift < bindparam("of_shift"),
        or_(shift_entries.c.kind == "late_sale", shift_entries.c.kind == "late_test"),
    )
    .order_by(shift_entries.c.entry_id)
)
GAUGE = (
    select(tank_readings.c.at_us, tank_readings.c.content)
    .where(tank_readings.c.station == bindparam("of_station"), tank_readings.c.at_us <= bindparam("until_us"))
    .order_by(tank_readings.c.at_us.desc())
    .limit(1)
)
RECEIVED = (
    select(stock_book.c.entry_key, stock_book.c.grp, stock_book.c.volume_ml)
    .where(
        stock_book.c.station == bindparam("of_station"),
        stock_book.c.kind == "delivery",
        stock_book.c.ended_us > bindparam("from_us"),
        stock_book.c.ended_us <= bindparam("until_us"),
    )
    .order_by(stock_book.c.entry_id)
)
