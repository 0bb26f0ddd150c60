"""Amap's web service in virtual time: places, points, conversion, and the empty lists that break strict readers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any
from xml.etree import ElementTree as ET

import httpx
import pytest

from protocols.coordinates import distance_m
from sim.amap import Amap, AmapSwitches
from sim.kernel import VirtualKernel
from sim.webapi import CallFault

EPOCH_US = 1_790_000_000_000_000
KEY = "0123456789abcdef0123456789abcdef"
GEO, REGEO, CONVERT = "/v3/geocode/geo", "/v3/geocode/regeo", "/v3/assistant/coordinate/convert"


class Bench:
    """A service in virtual time and a client of it."""

    def __init__(self, *faults: CallFault, **switches: Any) -> None:
        self.kernel = VirtualKernel("w", epoch_us=EPOCH_US)
        self.amap = Amap(self.kernel, [KEY], switches=AmapSwitches(**switches), faults=faults)
        base = "https://restapi.amap.com"
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(self.amap.app), base_url=base)

    def run(self, story: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        done = self.kernel.task(story())
        self.kernel.run(until_us=200_000 * 1_000_000)
        assert done.triggered, "the story never ended"
        return done.value

    async def get(self, path: str, **query: str) -> dict[str, Any]:
        reply = await self.http.get(path, params={"key": KEY, **query})
        assert reply.status_code == 200
        return reply.json()

    def ask(self, path: str, **query: str) -> dict[str, Any]:
        return self.run(lambda: self.get(path, **query))


def leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for each in value.values() for leaf in leaves(each)]
    if isinstance(value, list) and value:
        return [leaf for each in value for leaf in leaves(each)]
    return [value]


def test_an_address_becomes_a_point_and_numbers_are_texts() -> None:
    reply = Bench().ask(GEO, address="昆明市盘龙区北京路928号", city="昆明")
    assert (reply["status"], reply["info"], reply["infocode"], reply["count"]) == ("1", "OK", "10000", "1")
    (found,) = reply["geocodes"]
    assert found["formatted_address"] == "云南省昆明市盘龙区北京路928号"
    assert (found["location"], found["level"], found["adcode"]) == (
        "102.722000,25.045000",
        "门牌号",
        "530103",
    )


def test_no_field_is_an_empty_text_for_it_is_an_empty_list() -> None:
    bench = Bench()

    async def story() -> None:
        station = (await bench.get(GEO, address="前程加油站"))["geocodes"][0]
        assert station["street"] == station["number"] == station["township"] == []
        assert station["building"]["name"] == "前程加油站"
        near = await bench.get(REGEO, location="116.482086,39.990490")
        assert near["regeocode"]["addressComponent"]["city"] == []  # a municipality
        nowhere = await bench.get(REGEO, location="0,0")
        assert nowhere["regeocode"]["formatted_address"] == []
        for reply in (station, near, nowhere):
            assert all(leaf != "" and isinstance(leaf, str | list) for leaf in leaves(reply))

    bench.run(story)


def test_a_city_narrows_the_search_by_name_city_code_or_area_code() -> None:
    bench = Bench()

    async def story() -> list[str]:
        cities = ("昆明", "昆明市", "0871", "530100", "530103", "北京", "010", "上海")
        return [(await bench.get(GEO, address="北京路928号", city=city))["count"] for city in cities]

    assert bench.run(story) == ["1"] * 5 + ["0"] * 3


def test_an_unknown_address_is_nothing_or_an_error_as_switched() -> None:
    reply = Bench().ask(GEO, address="火星路1号")
    assert (reply["status"], reply["count"], reply["geocodes"]) == ("1", "0", [])
    reply = Bench(unknown_address="engine-error").ask(GEO, address="火星路1号")
    assert (reply["status"], reply["infocode"]) == ("0", "30001")


def test_a_point_becomes_an_address_with_distance_and_direction() -> None:
    reply = Bench().ask(REGEO, location="102.722000,25.044100", extensions="all")["regeocode"]
    number = reply["addressComponent"]["streetNumber"]
    assert (number["street"], number["number"], number["direction"]) == ("北京路", "928号", "北")
    assert float(number["distance"]) == pytest.approx(100.1, abs=0.5)
    assert reply["pois"] == []


def test_conversion_keeps_the_order_and_separates_with_semicolons() -> None:
    bench = Bench()

    async def story() -> None:
        gps = "116.481499,39.990475|116.481499,39.990375"
        reply = await bench.get(CONVERT, locations=gps, coordsys="gps")
        assert reply["info"] == "ok"
        points = [tuple(map(float, part.split(","))) for part in reply["locations"].split(";")]
        documented = [(116.487585177952, 39.991754014757), (116.487585177952, 39.991653917101)]
        for (lng, lat), wanted in zip(points, documented, strict=True):
            assert distance_m((lng, lat), wanted) < 5
        same = await bench.get(CONVERT, locations="116.481499,39.990475")
        assert same["locations"] == "116.481499,39.990475"
        baidu = await bench.get(CONVERT, locations="116.494100,39.997800", coordsys="baidu")
        assert baidu["locations"].startswith("116.487")

    bench.run(story)


@pytest.mark.parametrize(
    ("path", "query", "infocode"),
    [
        (GEO, {"key": "x", "address": "北京路"}, "10001"),
        (GEO, {"key": ""}, "10001"),
        (GEO, {}, "20001"),
        (REGEO, {}, "20001"),
        (REGEO, {"location": "25.045,102.722"}, "20000"),  # the latitude first
        (REGEO, {"location": "102.722"}, "20000"),
        (REGEO, {"location": "nan,nan"}, "20000"),
        (CONVERT, {}, "20001"),
        (CONVERT, {"locations": "102,25", "coordsys": "mapbar"}, "20000"),
        (CONVERT, {"locations": "|".join(["102,25"] * 41), "coordsys": "gps"}, "20000"),
        ("/v3/none", {}, "10002"),
    ],
)
def test_errors_come_with_status_zero(path, query, infocode) -> None:
    reply = Bench().ask(path, **query)
    assert (reply["status"], reply["infocode"]) == ("0", infocode)
    assert set(reply) == {"status", "info", "infocode"}


def test_limits_of_a_key_by_second_and_by_day() -> None:
    bench = Bench(calls_per_s=3, calls_per_day=5)

    async def story() -> list[str]:
        codes = [(await bench.get(GEO, address="北京路"))["infocode"] for _ in range(4)]
        await asyncio.sleep(1)
        codes += [(await bench.get(GEO, address="北京路"))["infocode"] for _ in range(2)]
        await asyncio.sleep(86_400)
        codes.append((await bench.get(GEO, address="北京路"))["infocode"])
        return codes

    assert bench.run(story) == ["10000", "10000", "10000", "10021", "10000", "10003", "10000"]


def test_a_refusal_by_fault_has_the_platforms_own_words() -> None:
    bench = Bench(CallFault(kind="refuse", code=10003, limit=1), CallFault(kind="refuse", skip=1, limit=1))

    async def story() -> list[str]:
        return [(await bench.get(GEO, address="北京路"))["info"] for _ in range(3)]

    assert bench.run(story)[0] == "DAILY_QUERY_OVER_LIMIT"
    assert {fault["landed"] for fault in bench.amap.faults.report().values()} == {1}


def test_whoever_asks_for_xml_gets_xml() -> None:
    bench = Bench()

    async def xml(path: str, **query: str) -> ET.Element:
        reply = await bench.http.get(path, params={"key": KEY, "output": "XML", **query})
        assert (reply.status_code, reply.headers["content-type"]) == (200, "application/xml;charset=UTF-8")
        return ET.fromstring(reply.content)

    async def story() -> list[ET.Element]:
        return [
            await xml(GEO, address="昆明市北京路928号"),
            await xml(REGEO, location="102.722,25.045", extensions="all"),
            await xml("/v3/place/text", keywords="a<b"),
        ]

    found, near, refused = bench.run(story)
    assert (found.tag, found.findtext("count"), found.find("geocodes").attrib) == (
        "response",
        "1",
        {"type": "list"},
    )
    assert found.findtext("geocodes/geocode/location") == "102.722000,25.045000"
    assert found.find("geocodes/geocode/township").text is None
    assert near.findtext("regeocode/addressComponent/streetNumber/number") == "928号"
    assert [(each.tag, each.attrib) for each in near.find("regeocode")][-1] == ("aois", {"type": "list"})
    assert (refused.findtext("status"), refused.findtext("infocode")) == ("0", "10002")
