"""WeCom in virtual time: one token for all, a library of tags, and marks on customers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
import pytest

from sim.kernel import VirtualKernel
from sim.webapi import CallFault
from sim.wecom import Corp, TagLimits, WeCom

EPOCH_US = 1_790_000_000_000_000
CORP = Corp("ww0123456789abcdef", "s3cret", {"wm-li": ("zhang", "wang"), "wm-zhao": ("wang",)})


class Bench:
    """A server in virtual time and a client of it."""

    def __init__(self, *faults: CallFault, **more: Any) -> None:
        self.kernel = VirtualKernel("w", epoch_us=EPOCH_US)
        self.wecom = WeCom(self.kernel, [CORP], faults=faults, **more)
        base = "https://qyapi.weixin.qq.com/cgi-bin/"
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(self.wecom.app), base_url=base)
        self.control = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.wecom.control_app), base_url="http://control"
        )
        self.access_token = ""

    def run(self, story: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        done = self.kernel.task(story())
        self.kernel.run(until_us=20_000 * 1_000_000)
        assert done.triggered, "the story never ended"
        return done.value

    async def fetch(self, **other: str) -> dict[str, Any]:
        query = {"corpid": CORP.corpid, "corpsecret": CORP.secret, **other}
        return (await self.http.get("gettoken", params=query)).json()

    async def log_in(self) -> str:
        self.access_token = (await self.fetch())["access_token"]
        return self.access_token

    async def call(self, name: str, body: Any) -> dict[str, Any]:
        query = {"access_token": self.access_token}
        return (await self.http.post(f"externalcontact/{name}", params=query, json=body)).json()

    async def add(self, group: str, *names: str) -> list[str]:
        reply = await self.call(
            "add_corp_tag", {"group_name": group, "tag": [{"name": name} for name in names]}
        )
        return [tag["id"] for tag in reply["tag_group"]["tag"]]

    async def code(self, name: str, body: Any) -> int:
        return int((await self.call(name, body))["errcode"])


def test_the_same_token_is_given_again_until_it_ends_by_time_or_early() -> None:
    bench = Bench()

    async def story() -> None:
        assert (await bench.fetch(corpid="ww1"))["errcode"] == 40013
        assert (await bench.fetch(corpsecret="x"))["errcode"] == 40001
        assert (await bench.fetch(corpid=""))["errcode"] == 41002
        assert (await bench.fetch(corpsecret=""))["errcode"] == 41004
        assert (await bench.code("get_corp_tag_list", {})) == 41001
        first = await bench.log_in()
        await asyncio.sleep(7_000)
        again = await bench.fetch()
        assert (again["access_token"], again["expires_in"]) == (first, 200)
        assert await bench.code("get_corp_tag_list", {}) == 0
        await asyncio.sleep(200)
        assert await bench.code("get_corp_tag_list", {}) == 42001
        assert await bench.log_in() != first
        await bench.control.post("/tokens/end")
        refused = await bench.call("get_corp_tag_list", {})
        assert refused["errcode"] == 40014
        assert refused["errmsg"].startswith("invalid access_token, hint: [")
        assert refused["errmsg"].endswith("query?e=40014")
        await bench.log_in()
        assert await bench.code("get_corp_tag_list", {}) == 0

    bench.run(story)


def test_tags_come_in_groups_and_a_group_goes_with_its_last_tag() -> None:
    bench = Bench()

    async def story() -> None:
        await bench.log_in()
        gold, silver = await bench.add("会员", "金卡", "银卡")
        assert await bench.add("会员", "钻石", "钻石") != []  # the same group again; one of two equal names
        reply = await bench.call("get_corp_tag_list", {})
        (group,) = reply["tag_group"]
        assert [tag["name"] for tag in group["tag"]] == ["金卡", "银卡", "钻石"]
        assert group["create_time"] == EPOCH_US // 1_000_000
        body = {"group_id": group["group_id"], "tag": [{"name": "普通", "order": 7}]}
        assert (await bench.call("add_corp_tag", body))["tag_group"]["tag"][0]["order"] == 7
        only = await bench.call("get_corp_tag_list", {"tag_id": [silver]})
        assert [tag["name"] for tag in only["tag_group"][0]["tag"]] == ["银卡"]
        assert await bench.code("get_corp_tag_list", {"tag_id": ["et0"]}) == 40068
        assert await bench.code("edit_corp_tag", {"id": gold, "name": "银卡"}) == 40071
        assert await bench.code("edit_corp_tag", {"id": gold, "name": "黑卡", "order": 9}) == 0
        assert await bench.code("edit_corp_tag", {"id": group["group_id"], "name": "级别"}) == 0
        assert await bench.code("edit_corp_tag", {"id": "et0", "name": "级别"}) == 40068
        shown = (await bench.control.get("/tags")).json()[CORP.corpid]
        assert (shown[0]["group_name"], shown[0]["tag"][0]["name"]) == ("级别", "黑卡")
        assert await bench.code("del_corp_tag", {"tag_id": [gold], "group_id": ["et0"]}) == 40068
        every = [tag["id"] for tag in shown[0]["tag"]]
        assert await bench.code("del_corp_tag", {"tag_id": every}) == 0
        assert (await bench.call("get_corp_tag_list", {}))["tag_group"] == []
        assert await bench.code("del_corp_tag", {}) == 40058

    bench.run(story)


@pytest.mark.parametrize(
    ("body", "errcode"),
    [
        ({"group_name": "会员"}, 40058),
        ({"group_name": "会员", "tag": []}, 40058),
        ({"group_name": "会员", "tag": ["金卡"]}, 40058),
        ({"group_name": "会员", "tag": [{"name": "x" * 31}]}, 40072),
        ({"group_name": "", "tag": [{"name": "x"}]}, 40072),
        ({"group_id": "et0", "tag": [{"name": "x"}]}, 40068),
        ({"group_name": "会员", "tag": [{"name": "x", "order": -1}]}, 40058),
        ({"group_name": "会员", "tag": [{"name": str(n)} for n in range(6)]}, 40058),
    ],
)
def test_a_wrong_group_or_tag_leaves_the_library_as_it_was(body, errcode) -> None:
    bench = Bench(limits=TagLimits(library=5))

    async def story() -> None:
        await bench.log_in()
        assert await bench.code("add_corp_tag", body) == errcode
        assert (await bench.call("get_corp_tag_list", {}))["tag_group"] == []

    bench.run(story)


def test_marks_are_put_on_a_members_own_customers_and_go_with_their_tag() -> None:
    bench = Bench(limits=TagLimits(per_customer=2))

    async def story() -> None:
        await bench.log_in()
        gold, silver, bronze = await bench.add("会员", "金卡", "银卡", "铜卡")
        mark = {"userid": "zhang", "external_userid": "wm-li"}
        assert await bench.code("mark_tag", {**mark, "add_tag": [gold, silver]}) == 0
        assert await bench.code("mark_tag", {**mark, "add_tag": [bronze]}) == 40058
        assert await bench.code("mark_tag", {**mark, "add_tag": [bronze], "remove_tag": [gold]}) == 0
        assert await bench.code("mark_tag", mark) == 40058
        assert await bench.code("mark_tag", {**mark, "add_tag": ["et0"]}) == 40068
        assert await bench.code("mark_tag", {**mark, "userid": "nobody", "add_tag": [gold]}) == 40003
        assert await bench.code("mark_tag", {**mark, "external_userid": "wm-0", "add_tag": [gold]}) == 40096
        assert (
            await bench.code("mark_tag", {**mark, "external_userid": "wm-zhao", "add_tag": [gold]}) == 84061
        )
        befriended = await bench.control.post("/customers/wm-zhao", json={"userid": "zhang"})
        assert befriended.json() == {"members": ["wang", "zhang"]}
        assert await bench.code("mark_tag", {**mark, "external_userid": "wm-zhao", "add_tag": [gold]}) == 0
        assert await bench.code("del_corp_tag", {"tag_id": [silver]}) == 0
        marks = (await bench.control.get("/marks")).json()[CORP.corpid]
        assert [(one["external_userid"], one["tag_id"]) for one in marks] == [
            ("wm-li", [bronze]),
            ("wm-zhao", [gold]),
        ]

    bench.run(story)


def test_a_token_that_ends_early_and_a_busy_system() -> None:
    bench = Bench(
        CallFault(kind="token-ended", name="early", at=("get_corp_tag_list",), limit=1),
        CallFault(kind="refuse", name="busy", at=("get_corp_tag_list",), skip=1, limit=1),
    )

    async def story() -> list[int]:
        codes = []
        for _ in range(3):
            await bench.log_in()
            codes.append(await bench.code("get_corp_tag_list", {}))
        return codes

    assert bench.run(story) == [40014, -1, 0]


def test_bodies_that_are_no_json_and_unknown_paths() -> None:
    bench = Bench()

    async def story() -> None:
        await bench.log_in()
        query = {"access_token": bench.access_token}
        reply = await bench.http.post("externalcontact/mark_tag", params=query, content=b"tag")
        assert (reply.json()["errcode"], "wrong json format" in reply.json()["errmsg"]) == (40035, True)
        assert (await bench.http.get("user/get")).status_code == 404

    bench.run(story)


def test_two_corporations_with_one_id_are_refused() -> None:
    with pytest.raises(ValueError, match="two corporations"):
        WeCom(VirtualKernel("w", epoch_us=EPOCH_US), [CORP, CORP])
