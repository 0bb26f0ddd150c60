"""Authorisations that are late, doubtful, cancelled or run out, and clocks that are set."""

from __future__ import annotations

import pytest

from sim.dispenser import FpState

from .site_world import S


@pytest.mark.requirement("fd-link.reads-before-commands-after-recovery")
@pytest.mark.parametrize("deaf_at_ms", range(0, 1_500, 125))
def test_an_authorisation_whose_answer_is_lost_is_unknown_and_its_sale_is_the_order_s(world, deaf_at_ms):
    """The pump obeys and the controller does not hear it: what the pump does afterwards tells, not the silence."""
    w = world(points=1)
    driver = w.plug.driver
    hear = driver.receive_data
    deaf = []

    def receive_data(data, now_us):
        if not deaf:
            hear(data, now_us)

    driver.receive_data = receive_data
    w.at(2, lambda: w.backend.command("authorise", nozzle=1, order_id="o1", preset_fen=6_000))
    w.at(5 + deaf_at_ms / 1000, deaf.append, True)
    w.at(9 + deaf_at_ms / 1000, deaf.clear)
    w.fill(5, seconds=25)
    w.run(60)
    (sale,) = w.backend.sales.values()
    (delivered,) = w.points[0].journal
    assert (sale["order_id"], sale["amount_fen"]) == ("o1", delivered.amount_fen)
    assert w.site.held == {}
    w.fill(62, seconds=10)
    w.run(40)
    assert [one["order_id"] for one in w.backend.sales.values()] == ["o1", None]


@pytest.mark.requirement("fc-sale.one-delivery-one-ledger-sale")
def test_a_delivery_whose_authorisation_runs_out_while_the_line_is_lost_is_still_the_order_s(world):
    """The time to begin is over, but it had begun: nobody can see that while the line is lost."""
    w = world(points=1, authorisation_ttl_us=20 * S)
    driver = w.plug.driver
    hear = driver.receive_data
    deaf = []

    def receive_data(data, now_us):
        if not deaf:
            hear(data, now_us)

    driver.receive_data = receive_data
    w.at(2, lambda: w.backend.command("authorise", nozzle=1, order_id="o1"))
    w.fill(5, seconds=25)
    w.at(15, deaf.append, True)
    w.at(45, deaf.clear)
    w.run(60)
    (sale,) = w.backend.sales.values()
    assert sale["order_id"] == "o1"
    assert w.site.held == {}


def test_a_claim_that_runs_out_while_the_line_is_lost_does_not_hold_the_nozzle_for_ever(world):
    w = world(points=1, authorisation_ttl_us=20 * S)
    driver = w.plug.driver
    hear = driver.receive_data
    deaf = []

    def receive_data(data, now_us):
        if not deaf:
            hear(data, now_us)

    driver.receive_data = receive_data
    w.at(2, lambda: w.backend.command("authorise", nozzle=1, order_id="o1"))
    w.at(10, deaf.append, True)
    w.at(45, deaf.clear)
    w.run(60)
    assert w.site.held == {}
    w.backend.command("authorise", nozzle=1, order_id="o2")
    w.fill(65, seconds=10)
    w.run(40)
    assert [sale["order_id"] for sale in w.backend.sales.values()] == ["o2"]


@pytest.mark.requirement("fd-link.reads-before-commands-after-recovery")
def test_an_authorisation_in_doubt_whose_order_has_gone_is_stopped(world):
    w = world(points=1, offline_policy="deny", lift_policy="order_required")
    driver = w.plug.driver
    hear = driver.receive_data
    deaf = [True]

    def receive_data(data, now_us):
        # From the moment in which the pump obeys, nothing is heard of it.
        if not (deaf and w.points[0].state is FpState.STARTED):
            hear(data, now_us)

    driver.receive_data = receive_data
    w.at(2, lambda: w.backend.command("authorise", nozzle=1, order_id="o1"))
    w.at(5, lambda: w.points[0].lift(1, w.kernel.now_us))
    w.run(8)
    assert w.points[0].state is FpState.STARTED
    w.backend.command("cancel", nozzle=1, order_id="o1")
    w.run(2)
    assert dict(w.backend.results)[2]["ok"]
    deaf.clear()
    w.run(10)
    assert w.points[0].state not in {FpState.AUTHORISED, FpState.STARTED}
    assert w.site.held == {}
    assert w.backend.sales == {}


def test_an_order_that_comes_after_the_lift_starts_the_pump(world):
    w = world(lift_policy="order_required")
    w.run(2)
    w.at(5, lambda: w.points[0].lift(1, w.kernel.now_us))
    w.at(7, lambda: w.backend.command("authorise", order_id="o1"))
    w.at(12, lambda: w.points[0].squeeze(w.kernel.now_us, 30_000))
    w.at(20, lambda: w.points[0].hang_up(w.kernel.now_us))
    w.run(28)
    assert w.backend.sales[1, 1]["order_id"] == "o1"


@pytest.mark.requirement("fd-auth.one-live-authorisation", "fd-auth.one-order-per-delivery")
def test_two_orders_never_share_a_nozzle(world):
    w = world(lift_policy="order_required")
    w.run(3)
    w.backend.command("authorise", order_id="o1")
    w.backend.command("authorise", order_id="o2")
    w.backend.command("authorise", order_id="o3", nozzle=99)
    w.run(2)
    assert [(n, r["ok"]) for n, r in w.backend.results] == [(1, True), (2, False), (3, False)]


@pytest.mark.requirement("fc-sale.cancel-after-flow-is-refused")
def test_cancel_before_and_after_fuel(world):
    w = world(lift_policy="order_required")
    w.run(3)
    w.backend.command("authorise", order_id="o1")
    w.run(1)
    w.points[0].lift(1, w.kernel.now_us)
    w.run(4)
    assert w.site.snapshot()["fuelling_points"][0]["state"] == "STARTED"
    w.backend.command("cancel", order_id="o1")
    w.run(4)
    assert w.backend.results[1] == (2, {"ok": True, "reason": "cancelled"})
    assert not w.points[0].squeeze(w.kernel.now_us, 30_000), "no fuel after a cancellation"
    w.points[0].hang_up(w.kernel.now_us)
    w.run(2)
    w.backend.command("authorise", order_id="o2")
    w.run(1)
    w.points[0].lift(1, w.kernel.now_us)
    w.run(4)
    assert w.points[0].squeeze(w.kernel.now_us, 30_000)
    w.run(5)
    w.backend.command("cancel", order_id="o2")
    w.run(2)
    assert w.backend.results[-1] == (4, {"ok": False, "reason": "fuel_flowed"})
    w.points[0].hang_up(w.kernel.now_us)
    w.run(5)
    assert [s["order_id"] for s in w.backend.sales.values()] == ["o2"]


@pytest.mark.requirement("fd-auth.authorisation-expires")
def test_an_authorisation_ends_by_itself(world):
    w = world(authorisation_ttl_us=20 * S)
    w.run(3)
    w.points[0].lift(1, w.kernel.now_us)
    w.run(15)
    assert w.site.snapshot()["fuelling_points"][0]["state"] == "STARTED"
    w.run(10)
    assert not w.points[0].squeeze(w.kernel.now_us, 30_000)
    w.points[0].hang_up(w.kernel.now_us)
    w.fill(40)
    w.run(40)
    assert w.ledger() == w.truth()
    assert len(w.truth()) == 1


@pytest.mark.requirement("clk.durations-use-monotonic-clock")
@pytest.mark.parametrize("step_s", [3_600, -3_600, 86_400, -86_400])
@pytest.mark.parametrize("stepped", ["while it waits", "while it fills"])
def test_setting_the_time_of_day_neither_ends_nor_prolongs_an_authorisation(world, step_s, stepped):
    w = world(authorisation_ttl_us=20 * S)
    site, clock_us = w.site, w.site.clock_us

    def set_the_clock() -> None:
        site.clock_us = lambda: clock_us() + step_s * S

    w.run(3)
    w.backend.command("authorise", order_id="o1")
    w.run(1)
    if stepped == "while it waits":
        set_the_clock()
        w.run(10)
    w.points[0].lift(1, w.kernel.now_us)
    w.run(3)
    assert w.points[0].squeeze(w.kernel.now_us, 30_000)
    set_the_clock()
    w.run(25)
    assert w.points[0].flowing
    w.points[0].hang_up(w.kernel.now_us)
    w.run(10)
    assert [sale["order_id"] for sale in w.backend.sales.values()] == ["o1"]
    w.points[0].lift(1, w.kernel.now_us)  # what nobody begins ends after its own 20 s, as ever
    w.run(15)
    assert site.snapshot()["fuelling_points"][0]["state"] == "STARTED"
    w.run(10)
    assert not w.points[0].squeeze(w.kernel.now_us, 30_000)


@pytest.mark.requirement("clk.backward-step-keeps-order", "clk.durations-use-monotonic-clock")
@pytest.mark.parametrize("step_s", [-600, 600])
def test_setting_the_time_of_day_reorders_and_doubles_no_sale(world, step_s):
    w = world()
    clock_us = w.site.clock_us
    for number in range(4):
        w.fill(5 + 50 * number)
        w.run(50)
        if number == 1:
            w.site.clock_us = lambda: clock_us() + step_s * S
    w.run(20)
    assert w.ledger() == w.truth()
    assert [key for key in w.backend.sales if key[0] == 1] == [(1, number) for number in range(1, 5)]
    lasted = [sale["ended_us"] - sale["started_us"] for sale in w.backend.sales.values()]
    assert max(lasted) - min(lasted) < 2 * S, "a duration has nothing to do with the time of day"


@pytest.mark.requirement("fc-sale.one-owner-at-a-time")
@pytest.mark.parametrize("early_ms", range(-100, 700, 50))
def test_an_authorisation_that_ends_while_the_sale_is_being_read_still_owns_it(world, early_ms):
    w = world(authorisation_ttl_us=20 * S)
    w.run(3)
    w.backend.command("authorise", order_id="o1")
    w.run(1)
    expires_us = w.site.held[1].expires_us - w.kernel.epoch_us
    w.points[0].lift(1, w.kernel.now_us)
    w.run(3)
    assert w.points[0].squeeze(w.kernel.now_us, 30_000)
    w.kernel.call_at(expires_us - early_ms * 1_000, lambda: w.points[0].hang_up(w.kernel.now_us))
    w.run(25)
    assert [sale["order_id"] for sale in w.backend.sales.values()] == ["o1"]
    assert w.site.held == {}
