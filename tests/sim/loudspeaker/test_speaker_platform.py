"""The maker's platform over HTTP: its answers, its repeats, and what reaches the box."""

from __future__ import annotations

import httpx
import pytest

from protocols.loudspeaker import SayAmount, SayText, decode_reply, encode_form
from sim.kernel import VirtualKernel
from sim.loudspeaker import Loudspeaker, RegisteredSpeaker, SpeakerFault, SpeakerPlatform
from sim.net import Network

S = 1_000_000
FORM = {"id": "10000091", "token": "123456789021", "version": "3", "message": "三号枪,收款66元"}


class House:
    """A platform with one box (and another owner's), and a client."""

    def __init__(self, *faults, **more):
        self.kernel = VirtualKernel("platform", epoch_us=0)
        self.box = Loudspeaker(self.kernel, "10000091", faults=faults)
        other = RegisteredSpeaker(Loudspeaker(self.kernel, "335"), "other-token-1")
        self.platform = SpeakerPlatform(
            self.kernel, [RegisteredSpeaker(self.box, FORM["token"]), other], **more
        )
        network = Network(self.kernel)
        network.register("speaker.17laimai.cn", self.platform)
        self.client = httpx.AsyncClient(
            transport=network.transport("cloud"), base_url="https://speaker.17laimai.cn", trust_env=False
        )

    def ask(self, *requests, every_s=1):
        """Send requests (method, path, keywords), one after the other; gives the replies."""
        replies = []
        for request in requests:
            done = self.kernel.task(self._one(request, replies))
            self.kernel.run(self.kernel.now_us + every_s * S)
            assert done.triggered
        return replies

    async def _one(self, request, replies):
        method, path, more = request
        replies.append(await self.client.request(method, path, **more))

    def post(self, *changes, path="/notify.php", every_s=1):
        replies = self.ask(*(("POST", path, {"data": FORM | change}) for change in changes), every_s=every_s)
        assert {reply.status_code for reply in replies} == {200}
        return [decode_reply(reply.content).errcode for reply in replies]

    def said(self):
        self.kernel.run(self.kernel.now_us + 60 * S)
        return ["".join(one.words) for one in self.box.said]


def test_a_text_by_post_and_by_get():
    house = House()
    replies = house.ask(("POST", "/notify.php", {"data": FORM}), ("GET", "/notify.php", {"params": FORM}))
    assert [reply.json() for reply in replies] == [{"errcode": 0, "errmsg": "成功", "detail": ""}] * 2
    assert replies[0].headers["content-type"] == "application/json;charset=utf-8"
    assert house.said() == ["三号枪收款六十六元"] * 2  # without seq nothing is compared


def test_a_form_in_parts_as_form_data_of_a_browser_sends_it():
    house = House()
    parts = {name: (None, value) for name, value in FORM.items()}
    broken = {
        "content": b"--x\r\nContent-Disposition: form-data\r\n\r\n1",
        "headers": {"content-type": "multipart/form-data; boundary=x"},
    }
    nothing = {"content": b"\xff" * 50, "headers": {"content-type": "multipart/form-data"}}
    replies = house.ask(
        ("POST", "/notify.php", {"files": parts}), ("POST", "/notify.php", broken), ("POST", "/notify.php", nothing)
    )  # fmt: skip
    assert [reply.json()["errcode"] for reply in replies] == [0, 6, 6]
    assert house.said() == ["三号枪收款六十六元"]


def test_an_amount():
    house = House()
    assert house.post({"price": "3879", "pt": "2"}, {"price": "3879"}, path="/add.php") == [0, 0]
    assert house.said() == ["微信收款三十八点七九元", "收款三十八点七九元"]


def test_the_same_again_within_200_s_is_a_repeat():
    house = House()
    same, other = {"seq": "7"}, {"seq": "7", "message": "收款1元"}
    assert house.post(same, same, other, other, {"seq": "8"}) == [0, 17, 0, 17, 0]
    house.kernel.run(house.kernel.now_us + 200 * S)
    assert house.post(same) == [0]


@pytest.mark.parametrize(
    ("change", "code"),
    [({"id": "999"}, 2), ({"id": ""}, 6), ({"id": "335"}, 8), ({"version": "1"}, 8), ({"token": "x"}, 9), ({"message": ""}, 1)],
)  # fmt: skip
def test_refusals(change, code):
    house = House()
    assert house.post(change) == [code]
    assert house.said() == []
    assert house.platform.counts == {code: 1}


def test_what_is_no_call_of_the_platform():
    house = House()
    huge = {"content": b"message=" + b"a" * 9_000}
    replies = house.ask(
        ("GET", "/", {}), ("PUT", "/notify.php", {}), ("POST", "/notify.php", huge), ("POST", "/notify.php", {"content": b"\xff=1&" * 100})
    )  # fmt: skip
    assert [reply.status_code for reply in replies] == [404, 405, 413, 200]
    assert replies[-1].json()["errcode"] in {1, 6}


def test_a_refusal_by_fault_takes_nothing_and_may_be_repeated():
    house = House(SpeakerFault(kind="refused", limit=1))
    assert house.post({"seq": "7"}, {"seq": "7"}, {"seq": "7"}) == [1, 0, 17]
    assert house.said() == ["三号枪收款六十六元"]


@pytest.mark.parametrize(
    ("kind", "times"), [("lost", 0), ("late", 1), ("duplicate", 1), ("muted", 1), ("queue-full", 0)]
)
def test_faults_behind_a_good_answer(kind, times):
    house = House(SpeakerFault(kind=kind, limit=1))
    assert house.post({"seq": "7", "trace_no": "N1"}) == [0]
    assert len(house.said()) == times
    assert house.box.hits[0][2] == "N1"


@pytest.mark.parametrize(("holds", "heard"), [(False, 0), (True, 1)])
def test_a_box_that_is_offline(holds, heard):
    house = House(SpeakerFault(kind="offline", for_us=100 * S), holds_offline=holds)
    assert house.post({"seq": "7"}) == [0]
    house.kernel.run(200 * S)
    assert len(house.said()) == heard


def test_volume_is_the_messages_own():
    house = House()
    house.post({"vol": "0"}, {"vol": "100"}, {})
    house.said()
    assert [one.volume for one in house.box.said] == [0, 100, 80]


def test_requests_made_by_the_codec_are_taken():
    house = House()
    same = {"speaker_id": "10000091", "token": FORM["token"], "version": "3", "trace_no": "N1"}
    for request in (
        SayText(message="微信收款一元", seq=1, **same),
        SayAmount(price_fen=100, pay_type=2, seq=2, **same),
    ):
        path, fields = encode_form(request)
        assert house.post(fields, path=path) == [0]
    assert house.said() == ["微信收款一元"]  # both are known by one trace number: a box says an order once
