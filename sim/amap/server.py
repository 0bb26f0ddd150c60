"""Amap's web service: ``/v3/geocode/geo``, ``/v3/geocode/regeo`` and ``/v3/assistant/coordinate/convert``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal

from starlette.types import ASGIApp

from protocols.coordinates import Point, bd09_to_gcj02, wgs84_to_gcj02
from sim.amap.places import SAMPLE_PLACES, Gazetteer, Place, written
from sim.amap.xml import CONTENT_TYPE, as_xml
from sim.kernel import Kernel
from sim.latency import LatencyProfile
from sim.webapi import Call, CallFault, Reply, Route, WebService, china_time, control_app

__all__ = ["INFOS", "Amap", "AmapError", "AmapSwitches"]

_AT_ONCE: Final = LatencyProfile.constant(0)
_MAX_POINTS: Final = 40
_BUSY: Final = 10016
INFOS: Final[Mapping[int, str]] = MappingProxyType(
    {
        10000: "OK",
        10001: "INVALID_USER_KEY",
        10002: "SERVICE_NOT_AVAILABLE",
        10003: "DAILY_QUERY_OVER_LIMIT",
        10004: "ACCESS_TOO_FREQUENT",
        10009: "USERKEY_PLAT_NOMATCH",
        10016: "SERVER_IS_BUSY",
        10021: "CUQPS_HAS_EXCEEDED_THE_LIMIT",
        20000: "INVALID_PARAMS",
        20001: "MISSING_REQUIRED_PARAMS",
        20003: "UNKNOWN_ERROR",
        30001: "ENGINE_RESPONSE_DATA_ERROR",
    }
)
"""``infocode`` and ``info`` (lbs.amap.com/api/webservice/guide/tools/info)."""


class AmapError(Exception):
    """A refusal; ``code`` is one of `INFOS`."""

    def __init__(self, code: int) -> None:
        super().__init__(f"{code} {INFOS[code]}")
        self.code = code


@dataclass(frozen=True, kw_only=True)
class AmapSwitches:
    """What is not settled, or depends on the account.

    Attributes:
        unknown_address: no such address: ``empty`` (status 1 with no geocodes) or ``engine-error`` (30001); both are met.
        calls_per_s: of a key; beyond that 10021. None: no limit. Accounts differ.
        calls_per_day: of a key; beyond that 10003 until midnight in China. None: no limit.
    """

    unknown_address: Literal["empty", "engine-error"] = "empty"
    calls_per_s: int | None = None
    calls_per_day: int | None = None


class Amap:
    """The service.

    Everything comes with status 200, as JSON or, with ``output=XML``, as XML; numbers are texts, points are GCJ-02 with the longitude first, and a field without a value
    is an empty *list* where a text would stand otherwise.

    Args:
        kernel: clock, streams and trace.
        keys: keys of kind "web service".
        places: what it knows.
        switches: what is not settled.
        latency: its own share of a call's time; an assumption, nothing is published.
        faults: its schedule of faults.
        entity: its name in streams and trace.

    Attributes:
        app: the host's application. control_app: the faults and ``GET /calls``.
    """

    def __init__(
        self,
        kernel: Kernel,
        keys: Iterable[str],
        places: Iterable[Place] = SAMPLE_PLACES,
        *,
        switches: AmapSwitches | None = None,
        latency: LatencyProfile = _AT_ONCE,
        faults: Iterable[CallFault] = (),
        entity: str = "amap",
    ) -> None:
        self.kernel = kernel
        self.entity = entity
        self._keys = tuple(keys)
        self._map = Gazetteer(places)
        self._switches = switches or AmapSwitches()
        self._windows: dict[tuple[str, str], tuple[int, int]] = {}
        served: tuple[tuple[str, str, Callable[[Call], Reply]], ...] = (
            ("/v3/geocode/geo", "geo", self._geo),
            ("/v3/geocode/regeo", "regeo", self._regeo),
            ("/v3/assistant/coordinate/convert", "convert", self._convert),
        )
        self.service = WebService(
            kernel,
            entity,
            [Route(path, ("GET",), name, self._guarded(work)) for path, name, work in served],
            refuse=_refused,
            unknown=lambda _path, _methods: (200, _refused(10002)),
            latency=latency,
            faults=faults,
            other_form=_other_form,
        )
        self.faults = self.service.faults
        self.app: ASGIApp = self.service
        self.control_app: ASGIApp = control_app(self.service)

    def _guarded(self, work: Callable[[Call], Reply]) -> Callable[[Call], Reply]:
        def done(call: Call) -> Reply:
            try:
                self._admit(call.query.get("key", ""))
                reply = work(call)
            except AmapError as error:
                self.kernel.trace.emit("amap.refused", self.entity, call=call.name, infocode=error.code)
                return _refused(error.code)
            return {"status": "1", "info": "OK", "infocode": "10000", **reply}

        return done

    def _admit(self, key: str) -> None:
        if not key or key not in self._keys:
            raise AmapError(10001)
        second = self.kernel.unix_us // 1_000_000
        day = china_time(self.kernel.unix_us).toordinal()
        if self._over(key, "day", day, self._switches.calls_per_day):
            raise AmapError(10003)
        if self._over(key, "second", second, self._switches.calls_per_s):
            raise AmapError(10021)

    def _over(self, key: str, what: str, window: int, limit: int | None) -> bool:
        begun, count = self._windows.get((key, what), (window, 0))
        count = count + 1 if begun == window else 1
        self._windows[key, what] = (window, count)
        return limit is not None and count > limit

    def _geo(self, call: Call) -> Reply:
        address = call.query.get("address", "")
        if not address:
            raise AmapError(20001)
        found = self._map.by_address(address, call.query.get("city", ""))
        if not found and self._switches.unknown_address == "engine-error":
            raise AmapError(30001)
        return {"count": str(len(found)), "geocodes": [place.geocode() for place in found]}

    def _regeo(self, call: Call) -> Reply:
        text = call.query.get("location", "")
        if not text:
            raise AmapError(20001)
        point = _point(text)
        place = self._map.nearest(point)
        if place is None:
            nothing: list[Any] = []
            names = ("country", "province", "city", "citycode", "district", "adcode", "township", "towncode")
            component: dict[str, Any] = dict.fromkeys(names, nothing)
            component["streetNumber"] = {"street": nothing, "number": nothing}
            return {"regeocode": {"formatted_address": nothing, "addressComponent": component}}
        shown: dict[str, Any] = {
            "formatted_address": place.address,
            "addressComponent": place.component(point),
        }
        if call.query.get("extensions") == "all":
            shown |= {"roads": [], "roadinters": [], "pois": [], "aois": []}
        return {"regeocode": shown}

    def _convert(self, call: Call) -> Reply:
        """Points of another system as GCJ-02. How mapbar's system is shifted is published nowhere, so it is refused here."""
        text = call.query.get("locations", "")
        if not text:
            raise AmapError(20001)
        points = [_point(part) for part in text.split("|")]
        convert = _CONVERSIONS.get(call.query.get("coordsys") or "autonavi")
        if convert is None or len(points) > _MAX_POINTS:
            raise AmapError(20000)
        return {"info": "ok", "locations": ";".join(written(convert(point)) for point in points)}


def _other_form(query: Mapping[str, str], reply: Reply) -> tuple[bytes, str] | None:
    return (as_xml(reply), CONTENT_TYPE) if query.get("output", "").upper() == "XML" else None


def _same(point: Point) -> Point:
    return point


_CONVERSIONS: Final[Mapping[str, Callable[[Point], Point]]] = MappingProxyType(
    {"gps": wgs84_to_gcj02, "baidu": bd09_to_gcj02, "autonavi": _same}
)


def _point(text: str) -> Point:
    parts = text.split(",")
    try:
        lng, lat = (float(part) for part in parts)
    except ValueError:
        raise AmapError(20000) from None
    # Someone who puts the latitude first lands here for all of China: no latitude is above 90.
    if not (-180 <= lng <= 180 and -90 <= lat <= 90):
        raise AmapError(20000)
    return lng, lat


def _refused(code: int) -> Reply:
    code = code if code in INFOS else _BUSY
    return {"status": "0", "info": INFOS[code], "infocode": str(code)}
