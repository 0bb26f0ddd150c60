"""Which day a sale belongs to: that of the station's own clock on the wall."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from reference.backend import BackendSettings

from .shift_rig import Pumps

S = 1_000_000


def at(*local: int) -> int:
    """Unix µs of a UTC time."""
    return int(datetime(*local, tzinfo=UTC).timestamp()) * S


async def sell_at(w, pumps, moments):
    for moment in moments:
        w.now_us = moment - 60 * S
        await pumps.sell(1)
    w.now_us += S


async def day(w, name, status=200):
    return await w.site("GET", f"/days/{name}", status=status)


@pytest.mark.requirement("shift.business-day-is-local")
def test_a_second_before_midnight_in_china_is_the_old_day_and_not_utcs(play):
    async def scene(w):
        await w.declare()
        pumps = Pumps(w)
        midnight = at(
            2026, 1, 2, 16, 0, 0
        )  # of the 2nd to the 3rd in China, while UTC has the 2nd all the time
        await sell_at(w, pumps, [midnight - S, midnight, midnight + S])
        second, third = await day(w, "2026-01-02"), await day(w, "2026-01-03")
        assert (second["sales"], third["sales"]) == (1, 2)
        assert (second["until_us"], third["from_us"]) == (midnight, midnight)
        assert (third["amount_fen"], third["unpaid_fen"], third["time_zone"]) == (
            19_200,
            19_200,
            "Asia/Shanghai",
        )
        assert third["grades"] == [
            {"grade": "92", "sales": 2, "volume_ml": third["volume_ml"], "amount_fen": 19_200}
        ]
        assert (await day(w, "2026-01-04"))["sales"] == 0

    play(scene)


@pytest.mark.requirement("shift.business-day-is-local")
@pytest.mark.parametrize(
    ("zone", "name", "hours"),
    [
        ("America/New_York", "2026-03-08", 23),
        ("America/New_York", "2026-11-01", 25),
        ("Asia/Shanghai", "2026-11-01", 24),
    ],
)
def test_a_day_has_the_hours_that_its_zone_gives_it_and_days_have_no_gap(play_sqlite, zone, name, hours):
    async def scene(w):
        w.core.settings = w.core.settings.model_copy(update={"time_zones": {"KM01": zone}})
        await w.declare()
        shown = await day(w, name)
        assert shown["until_us"] - shown["from_us"] == hours * 3_600 * S
        following = f"{name[:-1]}{int(name[-1]) + 1}"
        assert (await day(w, following))["from_us"] == shown["until_us"]
        days = w.core.days
        for moment, wanted in (
            (shown["from_us"], name),
            (shown["until_us"] - 1, name),
            (shown["until_us"], following),
        ):
            assert days.date_of("KM01", moment).isoformat() == wanted

    play_sqlite(scene)


@pytest.mark.requirement("shift.business-day-is-local")
def test_a_night_shift_has_the_date_on_which_it_began_and_a_day_may_begin_at_six(play_sqlite):
    async def scene(w):
        pumps = Pumps(w)
        await w.declare()
        w.now_us = at(2026, 1, 2, 15, 59, 50)  # 23:59:50 on the 2nd
        await pumps.hand_over(1)
        w.now_us = at(2026, 1, 2, 22, 0, 0)  # six in the morning of the 3rd
        await pumps.sell(1)
        await pumps.hand_over(2)
        assert (await w.site("GET", "/shifts/1", status=200))["business_date"] == "2026-01-02"
        assert (await day(w, "2026-01-03"))["sales"] == 1
        w.core.settings = w.core.settings.model_copy(update={"day_begins_s": 6 * 3_600 + 120})
        assert (await day(w, "2026-01-02"))["sales"] == 1
        assert (await day(w, "2026-01-03"))["sales"] == 0
        assert (await w.site("GET", "/shifts/1", status=200))["business_date"] == "2026-01-02"

    play_sqlite(scene)


def test_what_is_no_day_and_what_is_no_zone(play_sqlite, settings):
    async def scene(w):
        await w.declare()
        for wrong in ("2026-02-30", "yesterday", "9999-12-31", "0001-01-01x"):
            await day(w, wrong, status=422)
        await w.call("GET", "/v1/stations/KM02/days/2026-01-01", key="station-key-of-km02", status=404)

    play_sqlite(scene)
    for wrong in ("Asia/Kunming", "../../etc/passwd", ""):
        with pytest.raises(ValidationError, match="is no time zone"):
            BackendSettings.model_validate({**settings.model_dump(), "time_zone": wrong})
