"""The three coordinate systems of Chinese maps, and metres between two points. Longitude comes first, in degrees, as the maps have it.

GPS gives WGS-84. Maps published in China, Amap's and WeChat's among them, use GCJ-02, which is shifted by 100 to 700 m; Baidu
shifts that once more (BD-09). The shift itself is not published. The formulas here are the approximation that everybody uses
(ellipsoid a = 6378245 m, e² = 0.00669342162296594323; first in eviltransform, googollee/eviltransform on GitHub), good to a few
metres. A fence of 200 m around a station fails when two systems are mixed up.
"""

from __future__ import annotations

import math
from typing import Final, TypeAlias

__all__ = [
    "Point",
    "bd09_to_gcj02",
    "distance_m",
    "gcj02_to_bd09",
    "gcj02_to_wgs84",
    "is_shifted",
    "wgs84_to_gcj02",
]

Point: TypeAlias = tuple[float, float]
"""Longitude and latitude in degrees."""

_A: Final = 6_378_245.0
_EE: Final = 0.00669342162296594323
_BAIDU: Final = math.pi * 3000.0 / 180.0
_WEST, _EAST, _SOUTH, _NORTH = 72.004, 137.8347, 0.8293, 55.8271
_EARTH_M: Final = 6_371_008.8
_ROUNDS: Final = 12


def is_shifted(point: Point) -> bool:
    """Whether the shift applies: inside the rough box around China that the approximation uses."""
    lng, lat = point
    return _WEST <= lng <= _EAST and _SOUTH <= lat <= _NORTH


def _waves(x: float) -> float:
    return 20.0 * math.sin(6.0 * x * math.pi) + 20.0 * math.sin(2.0 * x * math.pi)


def _shift(lng: float, lat: float) -> Point:
    """By how many degrees a point is shifted."""
    x, y = lng - 105.0, lat - 35.0
    root = math.sqrt(abs(x))
    north = -100.0 + 2.0 * x + 3.0 * y + 0.2 * y * y + 0.1 * x * y + 0.2 * root
    north += (_waves(x) + 20.0 * math.sin(y * math.pi) + 40.0 * math.sin(y / 3.0 * math.pi)) * 2.0 / 3.0
    north += (160.0 * math.sin(y / 12.0 * math.pi) + 320.0 * math.sin(y * math.pi / 30.0)) * 2.0 / 3.0
    east = 300.0 + x + 2.0 * y + 0.1 * x * x + 0.1 * x * y + 0.1 * root
    east += (_waves(x) + 20.0 * math.sin(x * math.pi) + 40.0 * math.sin(x / 3.0 * math.pi)) * 2.0 / 3.0
    east += (150.0 * math.sin(x / 12.0 * math.pi) + 300.0 * math.sin(x / 30.0 * math.pi)) * 2.0 / 3.0
    angle = math.radians(lat)
    magic = 1.0 - _EE * math.sin(angle) ** 2
    per_degree_north = math.radians(1.0) * _A * (1.0 - _EE) / (magic * math.sqrt(magic))
    per_degree_east = math.radians(1.0) * _A / math.sqrt(magic) * math.cos(angle)
    return east / per_degree_east, north / per_degree_north


def wgs84_to_gcj02(point: Point) -> Point:
    """What a Chinese map shows at a GPS position; outside China the same."""
    if not is_shifted(point):
        return point
    lng, lat = point
    east, north = _shift(lng, lat)
    return lng + east, lat + north


def gcj02_to_wgs84(point: Point) -> Point:
    """The GPS position of a point on a Chinese map, by iteration, to less than a millimetre.

    Within the shift of the box's own edge, in the sea or abroad, the shift has no inverse: two GPS positions may have one image.
    """
    if not is_shifted(point):
        return point
    lng, lat = point
    for _ in range(_ROUNDS):
        east, north = _shift(lng, lat)
        lng, lat = point[0] - east, point[1] - north
    return lng, lat


def gcj02_to_bd09(point: Point) -> Point:
    """What Baidu's map calls a point of GCJ-02."""
    lng, lat = point
    radius = math.hypot(lng, lat) + 0.00002 * math.sin(lat * _BAIDU)
    angle = math.atan2(lat, lng) + 0.000003 * math.cos(lng * _BAIDU)
    return radius * math.cos(angle) + 0.0065, radius * math.sin(angle) + 0.006


def bd09_to_gcj02(point: Point) -> Point:
    """The point of GCJ-02 that Baidu's map calls so, by iteration."""
    lng, lat = point
    for _ in range(_ROUNDS):
        again = gcj02_to_bd09((lng, lat))
        lng, lat = lng - (again[0] - point[0]), lat - (again[1] - point[1])
    return lng, lat


def distance_m(a: Point, b: Point) -> float:
    """Metres along the ground between two points of one system (haversine on the mean sphere; 0.5 % at worst)."""
    south, north = math.radians(a[1]), math.radians(b[1])
    half_lat, half_lng = (north - south) / 2, math.radians(b[0] - a[0]) / 2
    chord = math.sin(half_lat) ** 2 + math.cos(south) * math.cos(north) * math.sin(half_lng) ** 2
    return 2 * _EARTH_M * math.asin(min(1.0, math.sqrt(chord)))
