"""Storage tanks: shapes, flows, heat, water, siphons; in whole numbers, and against plain formulas."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.dispenser import Tank
from sim.tanks import (
    Flow,
    StorageTank,
    StrappingTable,
    TankerDelivery,
    TankFarm,
    corrected_ml,
    cylinder_table,
    cylinder_volume_ml,
    usual_cylinder,
)

S = 1_000_000
MINUTE = 60 * S
HOUR = 3_600 * S
L = 1_000
USUAL = usual_cylinder(30_000_000)


def tables(draw_steps: st.SearchStrategy[int]) -> st.SearchStrategy[StrappingTable]:
    rises = st.lists(st.tuples(draw_steps, draw_steps), min_size=1, max_size=40)

    def build(steps: list[tuple[int, int]]) -> StrappingTable:
        points = [(0, 0)]
        for height, volume in steps:
            points.append((points[-1][0] + height, points[-1][1] + volume))
        return StrappingTable(points)

    return rises.map(build)


@pytest.mark.requirement("tank.volume-table-is-monotone")
@given(tables(st.integers(1, 100_000)), st.integers(-10, 5_000_000), st.integers(0, 1_000_000))
def test_any_table_is_monotone(table: StrappingTable, height_um: int, more_um: int) -> None:
    assert table.volume_ml(height_um) <= table.volume_ml(height_um + more_um)
    assert table.height_um(height_um) <= table.height_um(height_um + more_um)
    assert 0 <= table.volume_ml(height_um) <= table.capacity_ml


@pytest.mark.requirement("tank.volume-table-is-monotone")
@given(st.integers(0, 30_000_000))
def test_a_volume_comes_back_from_its_height(volume_ml: int) -> None:
    """One micrometre in the widest place of this tank is some 15 ml."""
    assert abs(USUAL.volume_ml(USUAL.height_um(volume_ml)) - volume_ml) <= 16


@pytest.mark.requirement("tank.volume-table-is-monotone")
@pytest.mark.parametrize("per_mille", range(10, 1_000, 7))
def test_a_cylinder_is_within_a_thousandth_of_its_formula(per_mille: int) -> None:
    diameter_um, length_um = 2_500_000, 6_000_000
    table = cylinder_table(diameter_um, length_um)
    height_um = diameter_um * per_mille // 1_000
    angle = 2 * math.acos(
        1 - 2 * height_um / diameter_um
    )  # the chord seen from the axis; another way to the area
    volume_ml = (diameter_um / 2) ** 2 / 2 * (angle - math.sin(angle)) * length_um / 1e12
    assert table.volume_ml(height_um) == pytest.approx(volume_ml, rel=1e-3)
    assert cylinder_volume_ml(diameter_um, length_um, height_um) == pytest.approx(volume_ml, rel=1e-6, abs=1)


@pytest.mark.parametrize(
    "points",
    [[(0, 0)], [(0, 0), (5, 5), (5, 6)], [(0, 0), (5, 5), (6, 5)], [(1, 0), (2, 3)], [(0, 0), (5, -1)]],
)
def test_a_table_that_does_not_rise_is_refused(points: list[tuple[int, int]]) -> None:
    with pytest.raises(ValueError, match="strapping table"):
        StrappingTable(points)


def test_usual_sizes() -> None:
    for capacity_ml in (5_000_000, 30_000_000, 50_000_000):
        table = usual_cylinder(capacity_ml)
        assert table.capacity_ml == pytest.approx(capacity_ml, abs=2)
        assert 1_900_000 <= table.diameter_um <= 3_000_000


@given(
    st.integers(1, 30_000_000),
    st.integers(100_000, 900_000),
    st.lists(st.tuples(st.integers(0, 999), st.integers(0, 900 * S)), max_size=3),
    st.lists(st.integers(0, 4 * HOUR), min_size=1, max_size=20),
)
def test_a_tanker_only_adds_and_adds_all(
    volume_ml: int, rate: int, pauses: list[tuple[int, int]], times: list[int]
) -> None:
    stops = tuple((volume_ml * place // 1_000, lasts) for place, lasts in pauses)
    delivery = TankerDelivery(volume_ml, rate, 10 * MINUTE, stops)
    volumes = [delivery.ml(at_us) for at_us in sorted(times)]
    assert volumes == sorted(volumes)
    assert delivery.ml(10 * MINUTE) == 0
    assert delivery.ml(delivery.end_us) == volume_ml
    assert delivery.ml(delivery.end_us - 1) <= volume_ml
    for _, lasts in stops:
        assert delivery.end_us - 10 * MINUTE >= lasts


def test_nothing_flows_during_a_pause() -> None:
    delivery = TankerDelivery(1_000 * L, 500 * L, 0, ((500 * L, 10 * MINUTE),))
    assert delivery.ml(MINUTE) == delivery.ml(11 * MINUTE) == 500 * L
    assert delivery.ml(11 * MINUTE + 30 * S) == 750 * L
    assert delivery.end_us == 12 * MINUTE


def storage(litres: int = 10_000, number: int = 1, **more: object) -> StorageTank:
    return StorageTank(Tank(number, "92", capacity_ml=30_000 * L, initial_ml=litres * L), **more)  # type: ignore[arg-type]


@given(st.lists(st.integers(1, 600 * S), min_size=1, max_size=30), st.integers(0, 2_000))
def test_fuel_is_neither_made_nor_lost(steps: list[int], pulses: int) -> None:
    tank = storage(deliveries=[TankerDelivery(5_000 * L, 400 * L, MINUTE)], leaks=[Flow(7_000, MINUTE)])
    now_us = 0
    for step in steps:
        now_us += step
        tank.tank.draw(pulses)
        there_ml = tank.fuel_ml(now_us)
        expected_ml = 10_000 * L + tank.received_ml(now_us) - tank.leaked_ml(now_us) - tank.tank.drawn_ml
        assert there_ml == expected_ml + tank.expansion_ml
    assert tank.expansion_ml == 0  # at an even temperature


def test_warmth_expands_and_cold_shrinks() -> None:
    tank = storage(drift_mdeg_per_h=1_000)
    at = {hours: tank.fuel_ml(hours * HOUR) for hours in (0, 5)}
    assert at[5] - at[0] == pytest.approx(10_000 * L * 0.0012 * 5, rel=0.02)
    assert tank.temperature_mdeg == 23_000
    assert corrected_ml(at[5], 23_000, 1_200) == pytest.approx(corrected_ml(at[0], 18_000, 1_200), rel=1e-4)
    cold = storage(drift_mdeg_per_h=-1_000)
    cold.fuel_ml(5 * HOUR)
    assert cold.expansion_ml == pytest.approx(-60 * L, rel=0.02)


def test_a_warm_load_mixes_in() -> None:
    tank = storage(deliveries=[TankerDelivery(10_000 * L, 500 * L, 0, temperature_mdeg=28_000)])
    for minute in range(30):
        tank.advance(minute * MINUTE)
    assert tank.temperature_mdeg == pytest.approx(23_000, abs=60)
    assert tank.expansion_ml == 0


def test_the_surface_ripples_while_a_tanker_discharges_and_calms_down() -> None:
    tank = storage(deliveries=[TankerDelivery(5_000 * L, 500 * L, 10 * MINUTE)])
    during = [tank.ripple_um(10 * MINUTE + n * 700_000) for n in range(200)]
    assert max(during) > 3_000
    assert min(during) < -3_000
    assert abs(sum(during)) / len(during) < 400
    assert tank.ripple_um(9 * MINUTE) == 0
    assert tank.ripple_um(24 * MINUTE) == 0


def test_a_full_tank_is_full_and_an_empty_one_is_empty() -> None:
    tank = storage(29_000, deliveries=[TankerDelivery(5_000 * L, 500 * L, 0)])
    assert tank.fuel_ml(HOUR) == tank.table.capacity_ml
    empty = storage(10, leaks=[Flow(100 * L)])
    assert empty.fuel_ml(HOUR) == 0


@pytest.mark.requirement("tank.manifolded-tanks-are-a-group")
@given(st.integers(0, 9_000), st.integers(0, 9_000), st.integers(0, 50))
def test_joined_tanks_stand_at_one_height_and_keep_their_sum(left: int, right: int, water: int) -> None:
    first = storage(left, 1, water_ml=water * L)
    second = StorageTank(Tank(2, "92", capacity_ml=20_000 * L, initial_ml=right * L))
    farm = TankFarm([first, second], manifolds=[[1, 2]])
    one, two = farm.levels(1, MINUTE), farm.levels(2, MINUTE)
    assert one.fuel_ml + two.fuel_ml == (left + right) * L
    if one.fuel_ml > 100 * L and two.fuel_ml > 100 * L:
        assert abs(one.height_um - two.height_um) <= 3


def test_manifolds_that_cannot_be_are_refused() -> None:
    tanks = [storage(number=1), storage(number=2), StorageTank(Tank(3, "95", capacity_ml=30_000 * L))]
    for manifolds, words in (([[1, 9]], "none"), ([[1, 3]], "grades"), ([[1, 2], [2, 1]], "twice")):
        with pytest.raises(ValueError, match=words):
            TankFarm(tanks, manifolds=manifolds)
    with pytest.raises(ValueError, match="two tanks"):
        TankFarm([storage(number=1), storage(number=1)])
