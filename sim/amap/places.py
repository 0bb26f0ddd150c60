"""The places that the simulated map knows, and how it finds them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from protocols.coordinates import Point, distance_m

__all__ = ["SAMPLE_PLACES", "Gazetteer", "Place", "written"]

_MUNICIPALITIES: Final = ("北京市", "上海市", "天津市", "重庆市")
_WINDS: Final = ("东", "东北", "北", "西北", "西", "西南", "南", "东南")
_EMPTY: Final[list[Any]] = []
"""What stands for a field without a value: an empty list, never an empty text, although full fields are texts."""


def _or_list(text: str) -> str | list[Any]:
    return text or _EMPTY


def written(point: Point) -> str:
    """``longitude,latitude`` with six decimals, as the service writes points."""
    return f"{point[0]:.6f},{point[1]:.6f}"


@dataclass(frozen=True, kw_only=True)
class Place:
    """A place on the map.

    Attributes:
        location: GCJ-02, longitude first.
        street, number: both may be empty; so may the township.
        building, building_kind: a name with its kind, or both empty.
        level: what a geocode says of its precision, such as ``门牌号`` or ``兴趣点``.
    """

    location: Point
    province: str
    city: str
    citycode: str
    district: str
    adcode: str
    township: str = ""
    street: str = ""
    number: str = ""
    building: str = ""
    building_kind: str = ""
    level: str = "门牌号"

    @property
    def address(self) -> str:
        """The whole address; a municipality is named once."""
        city = "" if self.city == self.province else self.city
        return f"{self.province}{city}{self.district}{self.street}{self.number}{self.building}"

    def geocode(self) -> dict[str, Any]:
        """One of ``geocodes``."""
        return {
            "formatted_address": self.address,
            "country": "中国",
            "province": self.province,
            "citycode": self.citycode,
            "city": self.city,
            "district": _or_list(self.district),
            "township": _EMPTY,
            "neighborhood": {"name": _EMPTY, "type": _EMPTY},
            "building": {"name": _or_list(self.building), "type": _or_list(self.building_kind)},
            "adcode": self.adcode,
            "street": _or_list(self.street),
            "number": _or_list(self.number),
            "location": written(self.location),
            "level": self.level,
        }

    def component(self, asked: Point) -> dict[str, Any]:
        """The ``addressComponent`` of a point nearby. In the four municipalities the city is empty here."""
        away_m = distance_m(asked, self.location)
        number: dict[str, Any] = {"street": _EMPTY, "number": _EMPTY}
        if self.street:
            number = {
                "street": self.street,
                "number": _or_list(self.number),
                "location": written(self.location),
                "direction": _wind(asked, self.location) if away_m > 1 else _EMPTY,
                "distance": f"{away_m:.4f}",
            }
        return {
            "country": "中国",
            "province": self.province,
            "city": _EMPTY if self.province in _MUNICIPALITIES else self.city,
            "citycode": self.citycode,
            "district": _or_list(self.district),
            "adcode": self.adcode,
            "township": _or_list(self.township),
            "towncode": _EMPTY,
            "neighborhood": {"name": _EMPTY, "type": _EMPTY},
            "building": {"name": _or_list(self.building), "type": _or_list(self.building_kind)},
            "streetNumber": number,
            "businessAreas": [[]],
        }


def _wind(origin: Point, target: Point) -> str:
    """In which direction the target lies."""
    east = (target[0] - origin[0]) * math.cos(math.radians(origin[1]))
    return _WINDS[round(math.atan2(target[1] - origin[1], east) / (math.pi / 4)) % 8]


def _is_in(place: Place, city: str) -> bool:
    codes = (place.citycode, place.adcode[:4] + "00", place.adcode)
    return not city or city in codes or city.removesuffix("市") == place.city.removesuffix("市")


class Gazetteer:
    """All places.

    Args:
        places: which.
        reach_m: how far from a point a place still describes it.
    """

    def __init__(self, places: Iterable[Place], *, reach_m: float = 3_000.0) -> None:
        self.places = tuple(places)
        self._reach_m = reach_m

    def by_address(self, address: str, city: str) -> list[Place]:
        """Places whose address holds the text or ends like it, in a city by name, city code or administrative code."""
        wanted = address.replace(" ", "")
        return [
            place
            for place in self.places
            if _is_in(place, city)
            and (
                wanted in place.address or (place.street and wanted.endswith(f"{place.street}{place.number}"))
            )
        ]

    def nearest(self, point: Point) -> Place | None:
        """The place that describes a point, or None far from all of them."""
        near = min(self.places, key=lambda place: distance_m(point, place.location), default=None)
        if near is None or distance_m(point, near.location) > self._reach_m:
            return None
        return near


SAMPLE_PLACES: Final = (
    Place(
        location=(102.722000, 25.045000), province="云南省", city="昆明市", citycode="0871", district="盘龙区",
        adcode="530103", township="拓东街道", street="北京路", number="928号", level="门牌号",
    ),
    Place(
        location=(102.706400, 25.012300), province="云南省", city="昆明市", citycode="0871", district="官渡区",
        adcode="530111", building="前程加油站", building_kind="汽车服务;加油站;加油站", level="兴趣点",
    ),
    Place(
        location=(116.482086, 39.990496), province="北京市", city="北京市", citycode="010", district="朝阳区",
        adcode="110105", township="望京街道", street="阜通东大街", number="6号", level="门牌号",
    ),
)  # fmt: skip
"""Three places to begin with: a street in Kunming, a station without one (both invented), and Amap's own documented example."""
