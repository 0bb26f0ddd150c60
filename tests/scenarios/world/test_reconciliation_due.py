"""From when on a day's bills must have been compared."""

from __future__ import annotations

import datetime as dt
from types import SimpleNamespace
from typing import Any

import pytest

from protocols.wechatpay import BEIJING
from scenarios.world.reconciliation_harvest import _due

HOUR_US = 3_600_000_000
MIDNIGHT_US = int(dt.datetime(2026, 3, 2, tzinfo=BEIJING).timestamp()) * 1_000_000


def ready(hour: int) -> Any:
    def ready_us(day: dt.date) -> int:
        midnight = dt.datetime.combine(day + dt.timedelta(days=1), dt.time(), BEIJING)
        return int(midnight.timestamp()) * 1_000_000 + hour * HOUR_US

    return SimpleNamespace(ready_us=ready_us)


@pytest.mark.parametrize(
    ("unionpay", "rows", "hour"),
    [
        (None, set(), 10.5),
        (9, {"2026-03-02"}, 10.5),
        (11, {"2026-03-02"}, 11),  # its file is later than the bills are asked for
        (9, {"2026-03-03"}, 12.5),  # without a row there is no file, which may as well be late until noon
    ],
)
def test_bills_are_due_when_they_are_asked_for_and_can_be_there(
    unionpay: int | None, rows: set[str], hour: float
) -> None:
    world: Any = SimpleNamespace(
        kernel=SimpleNamespace(epoch_us=MIDNIGHT_US),
        ended_us=36 * HOUR_US,
        services=SimpleNamespace(gateway=SimpleNamespace(bills=ready(10))),
        unionpay=None if unionpay is None else SimpleNamespace(settlements=ready(unionpay)),
    )
    assert list(_due(world, 37_800, rows)) == [("2026-03-02", round((24 + hour) * HOUR_US))]
