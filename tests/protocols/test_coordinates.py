"""Coordinate systems: published vectors, inverses, and the size of the mistake when two are mixed up."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.coordinates import (
    bd09_to_gcj02,
    distance_m,
    gcj02_to_bd09,
    gcj02_to_wgs84,
    is_shifted,
    wgs84_to_gcj02,
)

# Well inside the box: within the shift of its edge there is no inverse.
INSIDE = st.tuples(st.floats(72.05, 137.8), st.floats(0.88, 55.8))
LAND = st.tuples(st.floats(75.0, 134.0), st.floats(18.5, 53.0))
STATION = (102.722, 25.045)


@pytest.mark.parametrize(
    ("wgs84", "gcj02"),
    [  # the vectors of eviltransform's own tests
        ((121.5272106, 31.1774276), (121.531541859215, 31.17530398364597)),
        ((113.912316, 22.543847), (113.9171764808363, 22.540796131694766)),
        ((116.377817, 39.911954), (116.38404722455657, 39.91334545536069)),
    ],
)
def test_published_vectors(wgs84, gcj02) -> None:
    assert distance_m(wgs84_to_gcj02(wgs84), gcj02) < 0.001
    assert distance_m(gcj02_to_wgs84(gcj02), wgs84) < 0.001


def test_amaps_own_sample_is_met_to_a_few_metres() -> None:
    """From the page of its coordinate conversion (lbs.amap.com): the true shift, which the approximation only comes near."""
    assert distance_m(wgs84_to_gcj02((116.481499, 39.990475)), (116.487585177952, 39.991754014757)) < 5


@given(INSIDE)
def test_the_inverse_finds_the_gps_position_again(point) -> None:
    assert distance_m(gcj02_to_wgs84(wgs84_to_gcj02(point)), point) < 0.001
    assert distance_m(wgs84_to_gcj02(gcj02_to_wgs84(point)), point) < 0.001


@given(INSIDE)
def test_baidus_shift_has_an_inverse_too(point) -> None:
    assert distance_m(bd09_to_gcj02(gcj02_to_bd09(point)), point) < 0.001


@given(LAND)
def test_in_china_the_shift_is_more_than_a_station_s_fence_allows(point) -> None:
    # Some 100 to 700 m in the cities; the sine waves behind it nearly cancel out in a few places (44 m at 97 E, 37 N).
    assert 5 < distance_m(wgs84_to_gcj02(point), point) < 1_000


@pytest.mark.parametrize(
    "city", [(102.71, 25.04), (116.40, 39.90), (121.47, 31.23), (113.26, 23.13), (104.07, 30.57)]
)
def test_in_the_cities_it_is_hundreds_of_metres(city) -> None:
    assert 100 < distance_m(wgs84_to_gcj02(city), city) < 700


@given(st.tuples(st.floats(-180, 180), st.floats(-89, 89)).filter(lambda point: not is_shifted(point)))
def test_elsewhere_there_is_none(point) -> None:
    assert wgs84_to_gcj02(point) == point == gcj02_to_wgs84(point)


def test_a_fence_of_two_hundred_metres_fails_when_systems_are_mixed() -> None:
    car = gcj02_to_wgs84(STATION)  # its GPS, standing at the pump
    assert distance_m(car, STATION) > 200
    assert distance_m(wgs84_to_gcj02(car), STATION) < 1


def test_distances_are_those_of_the_globe() -> None:
    assert distance_m((102.0, 25.0), (102.0, 26.0)) == pytest.approx(111_195, rel=0.001)
    assert distance_m((0.0, 0.0), (180.0, 0.0)) == pytest.approx(math.pi * 6_371_008.8)
    assert distance_m(STATION, STATION) == 0
