"""Volume at the reference temperature stands beside the gross one, with its label, and goes into nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from .shift_rig import Pumps, report
from .test_backend_tanks import Tank, alarms, deliveries, fill, quiet, read, stock

L = 1_000


class Compensated(Tank):
    """A tank whose gauge corrects for temperature; ``ppm`` is how far, and it changes through the day."""

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.ppm = -30_000

    def row(self) -> dict[str, Any]:
        self.ppm += 1_500  # the sun comes out
        known = self.volume_ml
        return super().row() | {
            "corrected_ml": None if known is None else known + known * self.ppm // 1_000_000
        }


class Plain(Tank):
    """One whose gauge does not."""

    def row(self) -> dict[str, Any]:
        return super().row() | {"corrected_ml": None}


def without_label(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_label(one) for name, one in value.items() if name != "corrected_ml"}
    return [without_label(one) for one in value] if isinstance(value, list) else value


async def a_day(w: Any, tank: Tank) -> dict[str, Any]:
    """Stock, a tanker's delivery, sales, a shift: everything in which a volume stands."""
    pumps = Pumps(w)
    await read(w, tank)
    await pumps.hand_over(1)
    await quiet(w, tank, minutes=3)
    await fill(w, tank, litres=5_000, sold=0)
    await quiet(w, tank, minutes=12)
    sale = pumps.fuel(1, 7_810)
    tank.sell(sale["volume_ml"] // L)
    await w.site("POST", "/sales", sale, status=201)
    await quiet(w, tank, minutes=2)
    await pumps.hand_over(2)
    return {
        "stock": await stock(w),
        "deliveries": [(e["volume_ml"], e["grp"]) for e in await deliveries(w)],
        "book": (await w.site("GET", "/stock/book", status=200))["accounts"],
        "alarms": [kind for kind, _ in await alarms(w)],
        "shift": (await report(w, 1))["tanks"],
        "ledger": [(e["kind"], e["volume_ml"]) for e in (await w.admin("ledger"))["rows"]],
    }


@pytest.mark.requirement("fd-met.compensated-volume-is-labelled")
def test_a_gauge_that_compensates_and_one_that_does_not_lead_to_the_same_books(play_sqlite):
    told: list[Any] = []

    def day(make: type[Tank]) -> None:
        async def scene(w):
            await w.declare()
            tank = make(litres=10_000)
            told.append(await a_day(w, tank))
            (shown,) = told[-1]["stock"]["92"]["tanks"]
            assert shown["volume_ml"] == tank.volume_ml == told[-1]["stock"]["92"]["volume_ml"], "gross"
            if make is Compensated:
                assert shown["corrected_ml"] not in {None, shown["volume_ml"]}
                assert shown["corrected_to_mdeg"] == 20_000, "labelled with the temperature that it is for"
            else:
                assert shown["corrected_ml"] is None
            assert await w.violations() == []

        play_sqlite(scene)

    day(Compensated)
    day(Plain)
    assert without_label(told[0]) == without_label(told[1])
    assert told[0]["deliveries"] == [(5_000 * L, 1)]


@pytest.mark.requirement("fd-met.compensated-volume-is-labelled")
def test_a_sale_has_one_volume_and_takes_no_compensated_one(play_sqlite):
    async def scene(w):
        for name in ("compensated_ml", "corrected_ml", "volume_15c_ml", "volume_20c_ml"):
            refused = await w.site("POST", "/sales", {**w.sale(), name: 9_900}, status=422)
            assert name in refused["message"]
        body = w.sale()
        await w.site("POST", "/sales", body, status=201)
        (row,) = (await w.admin("sales"))["rows"]
        assert [name for name in row if name.endswith("_ml")] == ["volume_ml", "end_total_volume_ml"]
        assert row["volume_ml"] == body["volume_ml"]

    play_sqlite(scene)
