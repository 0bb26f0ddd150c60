"""One tank's account (or that of tanks joined by a siphon): from readings to deliveries, losses and drift.

A reading has what is in the tank and what the pumps have drawn from it since counting began, at one moment. Their sum, the
*balance*, does not change while fuel is only sold, however many pumps run. A delivery raises it, a leak or a theft
lowers it, a meter out of calibration bends it slowly.

Pure: a state and a reading in, a state and findings out. Everything is a whole number of ml and us, and the state is JSON.
"""

from __future__ import annotations

from statistics import median_low
from typing import Final, NamedTuple

import msgspec
from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Account", "Booked", "Day", "Found", "GroupReading", "Limits", "advance", "give_back"]

_HOUR_US: Final = 3_600_000_000
_DAY_US: Final = 24 * _HOUR_US
_HISTORY: Final = 8
_DAYS: Final = 14


class Limits(BaseModel):
    """When a change of the balance means something.

    Attributes:
        rise_ml: so much more, in readings that rise one after the other, is the beginning of a delivery.
        noise_ml: a rise from one reading to the next is one by more than this.
        still_rises_ml: during a delivery, a rise by less than this is ripple.
        quiet_us: a delivery has ended when nothing has risen for so long; shorter pauses belong to it.
        least_delivery_ml: less than this was no delivery.
        loss_ml: so much missing, beyond what is allowed for, is a loss.
        loss_lasts_us: and it must be missing for so long.
        allowed_ml_per_h: what heat and evaporation may take.
        meter_per_mille: what meters may be off, thousandths of what they sell.
        drift_per_mille, drift_ml: book and tank may differ by the greater of these, of what was sold since the account
            was opened.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rise_ml: int = Field(default=80_000, ge=1_000)
    noise_ml: int = Field(default=8_000, ge=0)
    still_rises_ml: int = Field(default=15_000, ge=0)
    quiet_us: int = Field(default=600_000_000, ge=60_000_000)
    least_delivery_ml: int = Field(default=200_000, ge=1_000)
    loss_ml: int = Field(default=30_000, ge=1_000)
    loss_lasts_us: int = Field(default=90_000_000, ge=0)
    allowed_ml_per_h: int = Field(default=3_000, ge=0)
    meter_per_mille: int = Field(default=5, ge=0)
    drift_per_mille: int = Field(default=3, ge=0)
    drift_ml: int = Field(default=60_000, ge=0)


class GroupReading(NamedTuple):
    """One moment of an account. ``series`` names the nozzles that ``drawn_ml`` counts."""

    at_us: int
    volume_ml: int
    drawn_ml: int
    series: str


class _Point(msgspec.Struct, array_like=True):
    at_us: int
    balance_ml: int


class _Delivery(msgspec.Struct):
    start_us: int
    start_ml: int
    peak_ml: int
    risen_us: int


class Day(msgspec.Struct):
    """One day of the account: from when, what was sold in it, and how far book and tank moved apart (tank less book)."""

    from_us: int
    sold_ml: int
    variance_ml: int


class Account(msgspec.Struct):
    """The state of an account.

    Attributes:
        opened_us, opening_ml: first reading.
        book_ml: what should be in the tank.
        sold_ml: drawn since then.
        delivered_ml: booked since then.
        variance_ml: what is in the tank less what should be; negative: fuel is missing.
        losing_ml: what is missing at present beyond what is allowed for.
    """

    series: str = ""
    opened_us: int = 0
    opening_ml: int = 0
    at_us: int = 0
    volume_ml: int = 0
    drawn_ml: int = 0
    book_ml: int = 0
    sold_ml: int = 0
    delivered_ml: int = 0
    variance_ml: int = 0
    losing_ml: int = 0
    losing_since_us: int | None = None
    recent: list[_Point] = []
    delivery: _Delivery | None = None
    days: list[Day] = []
    alarms: list[str] = []

    @property
    def balance_ml(self) -> int:
        """In the tank and drawn from it."""
        return self.volume_ml + self.drawn_ml


class Booked(NamedTuple):
    """A delivery that has ended."""

    started_us: int
    ended_us: int
    volume_ml: int


class Found(NamedTuple):
    """What a reading brought: a delivery to book, alarms that have come (kind, words)."""

    booked: Booked | None = None
    alarms: tuple[tuple[str, str], ...] = ()


def advance(account: Account, reading: GroupReading, limits: Limits) -> Found:
    """Take the next reading into the account, in order of time; a reading that is not newer changes nothing."""
    if account.series and reading.at_us <= account.at_us:
        return Found()
    if not account.series:
        account.opened_us, account.opening_ml = reading.at_us, reading.volume_ml
        account.volume_ml = account.book_ml = reading.volume_ml
        _rebase(account, reading)
        account.days = [Day(reading.at_us, 0, 0)]
        return Found()
    if reading.series != account.series or reading.drawn_ml < account.drawn_ml:
        # Other nozzles are counted now, or the counter has begun anew: what was drawn in between is not known here.
        booked = _close(account, limits) if account.delivery is not None else None
        _rebase(account, reading)
        return Found(booked)
    was = account.at_us, account.balance_ml
    sold_ml = reading.drawn_ml - account.drawn_ml
    account.at_us, account.volume_ml, account.drawn_ml = reading.at_us, reading.volume_ml, reading.drawn_ml
    account.sold_ml += sold_ml
    account.book_ml -= sold_ml
    account.days[-1].sold_ml += sold_ml
    balance_ml = account.balance_ml
    booked = None
    if account.delivery is None:
        account.delivery = _began(account, balance_ml, limits)
        if account.delivery is None:
            _reckon(account, was, sold_ml, limits)
    account.recent.append(_Point(reading.at_us, balance_ml))
    delivery = account.delivery
    if delivery is not None:
        if balance_ml - delivery.peak_ml >= limits.still_rises_ml:
            delivery.peak_ml, delivery.risen_us = balance_ml, reading.at_us
        elif reading.at_us - delivery.risen_us >= limits.quiet_us:
            booked = _close(account, limits)
    del account.recent[:-_HISTORY]
    is_rising = balance_ml - was[1] > limits.noise_ml
    return Found(booked, () if is_rising else _alarms(account, limits))


def give_back(account: Account, volume_ml: int) -> None:
    """What a test delivery drew has been poured back: it was not sold. The gauge has seen it, or will with its next reading."""
    if account.series:
        account.book_ml += volume_ml
        account.sold_ml -= volume_ml
        account.days[-1].sold_ml -= volume_ml


def _rebase(account: Account, reading: GroupReading) -> None:
    # What has gone or come in between counts as sold or delivered: nobody can tell.
    account.book_ml += reading.volume_ml - account.volume_ml
    account.series = reading.series
    account.at_us, account.volume_ml, account.drawn_ml = reading.at_us, reading.volume_ml, reading.drawn_ml
    account.recent = [_Point(reading.at_us, account.balance_ml)]
    account.losing_ml, account.losing_since_us = 0, None


def _began(account: Account, balance_ml: int, limits: Limits) -> _Delivery | None:
    """Whether this reading is part of a delivery, and since when it runs: the first reading of the rise is part of it."""
    recent = account.recent
    if balance_ml - recent[-1].balance_ml <= limits.noise_ml:
        return None
    first = len(recent) - 1
    while first > 0 and recent[first].balance_ml - recent[first - 1].balance_ml > limits.noise_ml:
        first -= 1
    if balance_ml - recent[first].balance_ml < limits.rise_ml:
        return None
    before = [point.balance_ml for point in recent[max(0, first - 2) : first + 1]]
    return _Delivery(recent[first].at_us, median_low(before), balance_ml, account.at_us)


def _close(account: Account, limits: Limits) -> Booked | None:
    """The delivery has ended: its volume is the balance now less the balance then."""
    delivery = account.delivery
    assert delivery is not None  # noqa: S101 - the callers have looked
    account.delivery = None
    after = [point.balance_ml for point in account.recent[-5:]]
    end_ml = median_low(after)
    account.recent = account.recent[-1:]
    account.losing_ml, account.losing_since_us = 0, None
    volume_ml = end_ml - delivery.start_ml
    if volume_ml < limits.least_delivery_ml:
        _compare(account)
        return None
    account.delivered_ml += volume_ml
    account.book_ml += volume_ml
    _compare(account)
    return Booked(delivery.start_us, delivery.risen_us, volume_ml)


def _compare(account: Account) -> None:
    """Tank less book, and how far that moved today."""
    variance_ml = account.volume_ml - account.book_ml
    account.days[-1].variance_ml += variance_ml - account.variance_ml
    account.variance_ml = variance_ml


def _reckon(account: Account, was: tuple[int, int], sold_ml: int, limits: Limits) -> None:
    """Losses and drift of the time since the last reading."""
    at_us, before_ml = was
    change_ml = account.balance_ml - before_ml
    day = account.days[-1]
    if account.at_us - day.from_us >= _DAY_US:
        account.days.append(Day(account.at_us, 0, 0))
        del account.days[:-_DAYS]
    _compare(account)
    allowed_ml = limits.allowed_ml_per_h * (account.at_us - at_us) // _HOUR_US
    allowed_ml += sold_ml * limits.meter_per_mille // 1_000
    account.losing_ml = max(0, account.losing_ml - change_ml - allowed_ml)
    if account.losing_ml < limits.loss_ml:
        account.losing_since_us = None
    elif account.losing_since_us is None:
        account.losing_since_us = account.at_us


def _alarms(account: Account, limits: Limits) -> tuple[tuple[str, str], ...]:
    """Alarms that have come with this reading; each comes once, until it has gone."""
    since_us = account.losing_since_us
    lost = since_us is not None and account.at_us - since_us >= limits.loss_lasts_us
    drift_ml = max(limits.drift_ml, account.sold_ml * limits.drift_per_mille // 1_000)
    drifts = abs(account.variance_ml) > drift_ml and account.delivery is None
    gone = {
        "tank_loss": account.losing_ml < limits.loss_ml // 2,
        "tank_drift": abs(account.variance_ml) < drift_ml // 2,
    }
    account.alarms = [kind for kind in account.alarms if not gone.get(kind, False)]
    found = []
    for kind, is_active, words in (
        ("tank_loss", lost, f"{account.losing_ml} ml are missing that nobody bought"),
        (
            "tank_drift",
            drifts,
            f"the tank holds {account.variance_ml} ml more than the book, {account.sold_ml} ml sold",
        ),
    ):
        if is_active and kind not in account.alarms:
            account.alarms.append(kind)
            found.append((kind, words))
    return tuple(found)
