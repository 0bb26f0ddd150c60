"""The controller on the simulated dispenser, bus and clock: policy sales, orders, prices, idle polls."""

from __future__ import annotations

import itertools
import random

import pytest

from reference.site import SiteController

from .site_world import EPOCH_US, S


def test_policy_sale_reaches_the_backend_with_the_pumps_own_figures(world):
    w = world()
    w.fill(5)
    w.fill(6, point=1)
    w.run(40)
    assert len(w.truth()) == 2
    assert w.ledger() == w.truth()
    sale = w.backend.sales[1, 1]
    assert sale["order_id"] is None
    assert sale["flags"] == []
    assert EPOCH_US + 5 * S < sale["started_us"] < EPOCH_US + 11 * S
    assert EPOCH_US + 29 * S <= sale["ended_us"] < EPOCH_US + 30 * S
    assert w.backend.setups[0]["nozzles"][0] == {
        "nozzle": 1, "fuelling_point": 1, "grade": "92", "price_fen_per_l": 750, "tank": 1,
    }  # fmt: skip
    assert w.tank.drawn_ml == sum(row[1] for row in w.truth())


def test_live_amounts_are_at_most_a_second_old_and_not_sent_more_than_twice_a_second(world):
    w = world()
    w.fill(5)
    w.run(40)
    fuelling = [
        (at_us, n["volume_ml"])
        for at_us, body in w.backend.live
        for n in body["nozzles"]
        if n["state"] == "FUELLING"
    ]
    gaps = [b[0] - a[0] for a, b in itertools.pairwise(fuelling)]
    assert len(fuelling) > 30
    assert min(gaps) >= 500_000
    assert max(gaps) <= 1_000_000
    assert [v for _, v in fuelling] == sorted(v for _, v in fuelling)
    idle_before = [at_us for at_us, _ in w.backend.live if at_us < 5 * S]
    assert len(idle_before) <= 3


@pytest.mark.requirement("fd-auth.sale-names-authoriser-and-order")
def test_an_order_waits_for_the_lift_and_its_preset_and_number_go_with_it(world):
    w = world(lift_policy="order_required")
    w.fill(5)  # nobody ordered: no fuel
    w.run(32)
    assert w.truth() == []
    number = w.backend.command("authorise", order_id="o1", preset_fen=10_000)
    w.run(2)
    assert w.backend.results == [(number, {"ok": True, "reason": "held"})]
    w.fill(40, seconds=40)
    w.run(70)
    assert w.ledger() == w.truth()
    sale = w.backend.sales[1, 1]
    assert sale["order_id"] == "o1"
    assert abs(sale["amount_fen"] - 10_000) <= 8
    w.fill(110)  # the order is spent
    w.run(40)
    assert len(w.backend.sales) == 1


def test_price_change_reaches_pump_and_backend(world):
    w = world()
    w.fill(3, seconds=5)
    w.run(20)
    w.site.set_prices({1: 799, 2: 801})
    w.run(4)
    assert [point.nozzles[1].price_fen_per_l for point in w.points] == [799, 801]
    # A DART pump names a nozzle's price once the nozzle was used; only what it read back is told.
    told = [799, 750] if w.config.lines[0].protocol == "dart" else [799, 801]
    assert [n["price_fen_per_l"] for n in w.backend.setups[-1]["nozzles"]] == told
    w.fill(30, point=1, seconds=5)
    w.run(30)
    assert [n["price_fen_per_l"] for n in w.backend.setups[-1]["nozzles"]] == [799, 801]
    assert w.backend.sales[2, 1]["price_fen_per_l"] == 801


@pytest.mark.parametrize("seed", range(3))
def test_skipping_idle_polls_changes_no_sale_and_no_time(world, seed):
    def run(skip):
        w = world(skip=skip, seed=f"skip{seed}")
        rng = random.Random(seed)
        at_s = 3.0
        for _ in range(5):
            at_s += rng.uniform(0, 60)
            w.fill(at_s, point=0, seconds=rng.uniform(0, 60))
            w.fill(at_s + rng.uniform(0, 9), point=1, seconds=rng.uniform(0, 60))
            at_s += 75
        w.run(at_s + 80)
        return w

    full, skipped = run(False), run(True)
    assert full.backend.sales == skipped.backend.sales
    assert full.ledger() == full.truth()
    assert len(full.ledger()) >= 8
    assert [b for b in full.backend.live if b[1]["nozzles"]] == [
        b for b in skipped.backend.live if b[1]["nozzles"]
    ]


@pytest.mark.requirement("fd-state.fast-nozzle-cycle-keeps-deliveries-apart")
@pytest.mark.parametrize("gap_us", [20_000, 100_000, 400_000])
def test_a_nozzle_hung_up_and_lifted_again_at_once_makes_two_sales(world, gap_us):
    w = world()
    w.fill(5, seconds=10)
    point = w.points[0]
    w.at(19 + gap_us / S, lambda: point.lift(1, w.kernel.now_us))
    w.at(27, lambda: point.squeeze(w.kernel.now_us, 33_000))
    w.at(40, lambda: point.hang_up(w.kernel.now_us))
    w.run(50)
    assert len(w.truth()) == 2
    assert w.ledger() == w.truth()


@pytest.mark.requirement("fd-pwr.running-delivery-is-adopted", "fd-state.restart-rebuilds-state")
def test_a_new_controller_adopts_what_runs_and_sells_it_once(world, tmp_path):
    w = world(journal=str(tmp_path / "site.sqlite3"))
    w.fill(5)
    w.fill(45)
    w.run(52)
    old = w.site
    w.kernel.task(old.stop())
    w.run(0.5)
    w.site = SiteController(
        w.config,
        clock_us=lambda: w.kernel.unix_us,
        http_transport=w.backend,
        journal_path=str(tmp_path / "site.sqlite3"),
        base_urls=["https://backend-a.station"],
        station_key="key",
    )
    w.plug.change(w.site.drivers[0])
    w.kernel.task(w.site.start())
    w.run(40)
    assert w.ledger() == w.truth()
    assert len(w.truth()) == 2
