"""What the API shows of tanks."""

from __future__ import annotations

from pydantic import BaseModel

__all__ = [
    "AccountDay",
    "AccountView",
    "BookEntry",
    "GradeStock",
    "ReadingAccepted",
    "SoldFromTank",
    "StockBook",
    "StockView",
    "TankView",
]


class TankView(BaseModel):
    """A tank: its last figures that could be true, and how old they are."""

    tank: int
    volume_ml: int | None
    corrected_ml: int | None
    corrected_to_mdeg: int
    capacity_ml: int
    water_um: int | None
    temperature_mdeg: int | None
    age_us: int | None
    blocked: bool
    alarms: list[str]


class GradeStock(BaseModel):
    """What there is of a grade. ``age_us`` is that of its oldest figure; null when nothing was ever read.

    ``available`` is false when every tank of the grade is blocked or below what can be pumped.
    """

    grade: str
    volume_ml: int | None
    age_us: int | None
    stale: bool
    available: bool
    tanks: list[TankView]


class StockView(BaseModel):
    """Stock by grade; empty for a station without a gauge."""

    grades: list[GradeStock]


class ReadingAccepted(BaseModel):
    """Whether the reading was new."""

    new: bool


class BookEntry(BaseModel):
    """An entry of the stock book. Lines of one road tanker share ``site_delivery``."""

    entry_id: int
    kind: str
    entry_key: str
    grp: int
    grade: str
    site_delivery: str | None
    volume_ml: int
    started_us: int
    ended_us: int
    recorded_us: int


class AccountDay(BaseModel):
    """One day of an account."""

    from_us: int
    sold_ml: int
    variance_ml: int


class AccountView(BaseModel):
    """An account: opening + delivered - drawn + variance = volume, while no delivery is under way."""

    group: int
    grade: str
    opened_us: int
    opening_ml: int
    delivered_ml: int
    drawn_ml: int
    volume_ml: int
    variance_ml: int
    delivery_since_us: int | None
    days: list[AccountDay]


class SoldFromTank(BaseModel):
    """What the sales of a tank add up to, by the tank that their nozzle drew from at the time."""

    tank: int
    volume_ml: int
    sales: int


class StockBook(BaseModel):
    """The stock book of a station, its accounts, and its sales by tank."""

    entries: list[BookEntry]
    accounts: list[AccountView]
    sold: list[SoldFromTank]
