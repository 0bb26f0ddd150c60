"""One long seeded walk: 100,000 steps of hands, commands, locks and power cuts; no transition outside the table."""

from __future__ import annotations

from random import Random

import pytest

from sim.dispenser import STATE_TABLE, DeliveryEnded, Dispenser, FpEvent, FpState, StateChanged, amount_fen

STEPS = 100_000


@pytest.mark.requirement(
    "fd-state.only-listed-transitions",
    "fd-met.totals-equal-sum-of-sales",
    "fd-met.totalisers-never-decrease",
    "fd-pwr.totals-survive-power-cycles",
    "fd-pwr.sequence-is-gap-free-and-wraps",
    "fd-safe.restart-needs-deliberate-reset",
)
def test_a_hundred_thousand_steps_stay_inside_the_table_and_lose_no_pulse(make_point) -> None:
    legal = {(row.state, row.trigger, row.target) for rows in STATE_TABLE.values() for row in rows}
    point = make_point(
        authorisation_ttl_us=20_000_000,
        no_flow_timeout_us=10_000_000,
        resume_outage_us=2_000_000,
        price_while_busy="next",
    )
    dispenser = Dispenser([point])
    seen: set[tuple[FpState, str, FpState]] = set()
    sold = {1: [0, 0], 2: [0, 0]}
    sequences: list[int] = []

    def listen(event: FpEvent) -> None:
        if isinstance(event, StateChanged):
            assert (event.old, event.trigger, event.new) in legal
            seen.add((event.old, event.trigger.value, event.new))
        elif isinstance(event, DeliveryEnded):
            sale = event.delivery
            assert sale.amount_fen == amount_fen(sale.volume_ml, sale.price_fen_per_l)
            sold[sale.logical_nozzle][0] += sale.volume_ml
            sold[sale.logical_nozzle][1] += sale.amount_fen
            assert (sale.end_total_volume_ml, sale.end_total_amount_fen) == tuple(sold[sale.logical_nozzle])
            sequences.append(sale.sequence)

    point.listeners.append(listen)
    rng = Random("hands")
    now_us = 0

    def dip() -> None:
        nonlocal now_us
        dispenser.cut_power(now_us)
        now_us += rng.choice((0, 1_000_000, 4_000_000))
        rng.choice((lambda: None, lambda: point.hang_up(now_us), lambda: point.lift(1, now_us)))()
        dispenser.restore_power(now_us)

    def emergency() -> None:
        if rng.random() < 0.1:
            point.emergency_stop(now_us)
            rng.choice((dip, lambda: point.recover(now_us), lambda: point.lift(2, now_us)))()

    def tamper() -> None:
        point.calibrate(now_us, 1, rng.choice((0, 9_000)))
        point.calibrate(now_us, 1, 0)

    steps = (
        lambda: point.lift(rng.choice((1, 2)), now_us),
        lambda: point.lift(1, now_us),
        lambda: point.squeeze(now_us, rng.randint(5_000, 50_000)),
        lambda: point.squeeze(now_us, 33_000),
        lambda: point.release(now_us),
        lambda: point.hang_up(now_us),
        lambda: point.authorise(now_us),
        lambda: point.authorise(now_us, allowed_nozzles=(1,), preset_fen=rng.randint(100, 9_000)),
        lambda: point.authorise(now_us, preset_ml=rng.randint(10, 9_000)),
        lambda: point.set_preset(now_us, preset_ml=rng.randint(10, 9_000)),
        lambda: point.terminate(now_us),
        lambda: point.suspend(now_us),
        lambda: point.resume(now_us),
        lambda: point.reset(now_us),
        lambda: point.close(now_us),
        lambda: point.open(now_us),
        lambda: point.open(now_us),
        lambda: point.set_price(now_us, rng.choice((1, 2)), rng.randint(600, 1_100)),
        lambda: point.set_tank_capacity(rng.choice((None, 3_000, 9_000))),
        dip,
        emergency,
        lambda: point.reset_emergency(now_us, rng.choice(("manager", "cashier"))),
        lambda: point.reset_emergency(now_us, "manager"),
        lambda: rng.random() < 0.2 and point.lock(now_us),
        lambda: point.unlock(now_us),
        tamper,
    )
    for _ in range(STEPS):
        now_us += rng.choice((0, 1_000, 50_000, 400_000, 3_000_000))
        rng.choice(steps)()
    point.hang_up(now_us)
    dispenser.settle(now_us)
    assert len(sequences) > 1_000
    assert sequences == list(range(1, len(sequences) + 1))
    for logical, nozzle in point.nozzles.items():
        assert [nozzle.total_volume_ml, nozzle.total_amount_fen] == sold[logical]
        assert nozzle.tank.drawn_ml == nozzle.total_volume_ml
    # A walk that went nowhere would prove nothing: every state change of the table was taken, but the one that needs
    # a make which does not open by itself.
    changes = {
        (row.state, row.trigger.value, row.target)
        for rows in STATE_TABLE.values()
        for row in rows
        if row.state != row.target
    }
    assert changes - seen == {(FpState.INOPERATIVE, "recover", FpState.CLOSED)}
