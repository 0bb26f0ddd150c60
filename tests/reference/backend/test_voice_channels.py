"""Ways to a loudspeaker: what is sent, and what each answer means."""

from __future__ import annotations

import asyncio
import json
from urllib.parse import parse_qs

import httpx
import pytest

from protocols.loudspeaker import Announcement
from reference.backend import SettingsError, create_backend
from reference.backend.voice.channels import (
    MqttPublisher,
    VoiceRefusedError,
    Voices,
    VoiceUnknownError,
    spoken_words,
)
from reference.backend.voice.settings import LoudspeakerSettings

PAID = Announcement(request_id="N1", amount_fen=20_005, nozzle=12)
TEXT = LoudspeakerSettings(kind="text", speaker_id="17", token="t0ken")
AMOUNT = LoudspeakerSettings(kind="amount", speaker_id="17", token="t0ken", version="1")


def say(speaker, answer, announcement=PAID, publisher=None):
    """Say it to a platform that answers so; gives the requests."""
    requests = []

    def transport(request):
        requests.append((request.url.path, {n: v[0] for n, v in parse_qs(request.content.decode()).items()}))
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def go():
        voices = Voices(httpx.MockTransport(transport), "https://speaker", publisher, 5.0)
        await voices.say(speaker, announcement, seq=7, expires_s=3)
        await voices.aclose()

    asyncio.run(go())
    return requests


def answered(code, status=200):
    return httpx.Response(status, json={"errcode": code, "errmsg": "x"})


def test_a_text_as_the_makers_interface_wants_it():
    fields = {"id": "17", "token": "t0ken", "version": "3", "seq": "7", "trace_no": "N1"}
    assert say(TEXT, answered(0)) == [("/notify.php", fields | {"message": "十二号枪,微信收款二百元零五分"})]
    assert say(TEXT, answered(17)) == say(TEXT, answered(0))  # a repeat is with the platform already


def test_an_amount_with_its_kind_of_payment():
    ((path, fields),) = say(AMOUNT, answered(0))
    assert (path, fields["price"], fields["pt"], fields["version"]) == ("/add.php", "20005", "2", "1")


@pytest.mark.parametrize(
    "answer",
    [
        answered(1),
        answered(0, 500),
        httpx.Response(200, text="<html>"),
        httpx.Response(302),
        httpx.ReadTimeout("slow"),
        httpx.ConnectError("nobody"),
    ],
)
def test_answers_that_leave_it_open(answer):
    with pytest.raises(VoiceUnknownError, match="loudspeaker platform"):
        say(TEXT, answer)


@pytest.mark.parametrize("code", [2, 3, 5, 6, 8, 9])
def test_answers_that_refuse(code):
    with pytest.raises(VoiceRefusedError, match=str(code)):
        say(TEXT, answered(code))


def test_what_cannot_be_said_is_not_sent():
    too_much = Announcement(request_id="N1", amount_fen=2_147_483_648)
    with pytest.raises(VoiceRefusedError, match="price"):
        say(AMOUNT, answered(0), too_much)
    with pytest.raises(VoiceRefusedError, match="99999"):
        say(TEXT, answered(0), Announcement(request_id="N1", amount_fen=10_000_000_000))
    union = Announcement(request_id="N1", amount_fen=100, payer="银联")
    poor = LoudspeakerSettings(kind="clips", speaker_id="17", bank="mqlinks")
    with pytest.raises(VoiceRefusedError, match="mqlinks has no clip for '银联'"):
        say(poor, answered(0), union, publisher=Sink())


class Sink:
    def __init__(self):
        self.published = []

    async def publish(self, topic, payload, *, expires_s=None):
        self.published.append((topic, json.loads(payload), expires_s))


def test_messages_over_a_broker():
    sink = Sink()
    for kind, topic in (("clips", "/sub/topic/money/{box}"), ("money", "boxes/{box}/in")):
        say(LoudspeakerSettings(kind=kind, speaker_id="17", topic=topic), answered(0), publisher=sink)
    assert sink.published == [
        (
            "/sub/topic/money/17",
            {"playAudibleMsg": "010-002-203-204-067-065-002-011-015-000-005-202", "orderId": "N1"},
            3,
        ),
        ("boxes/17/in", {"broadcast_type": 2, "money": "200.05", "biz_type": 2, "request_id": "N1"}, 3),
    ]


def test_a_broker_that_does_not_answer():
    class Deaf:
        async def publish(self, topic, payload, *, expires_s=None):
            raise ConnectionError

    with pytest.raises(VoiceUnknownError, match="no answer in time"):
        say(LoudspeakerSettings(kind="money", speaker_id="17"), answered(0), publisher=Deaf())


def test_nobody_listens_where_the_address_leads():
    async def go():
        publisher = MqttPublisher("mqtt://user:pass@127.0.0.1:1", "backend-a", 1.0)
        with pytest.raises(ConnectionError):
            await publisher.publish("t", b"{}")
        await publisher.aclose()

    asyncio.run(go())
    for bad in ("http://x", "mqtt://", "x", "mqtt://x:y", "mqtt://x:99999"):
        with pytest.raises(ValueError, match="mqtt_url"):
            MqttPublisher(bad, "n", 1.0)


def test_words_follow_the_kind():
    said = {kind: "".join(spoken_words(LoudspeakerSettings(kind=kind, speaker_id="1", token="t"), PAID)) for kind in ("clips", "money", "text", "amount")}  # fmt: skip
    assert said == {
        "clips": "十二号枪微信收款二百元零五分",
        "text": "十二号枪微信收款二百元零五分",
        "money": "收款二百点零五元",
        "amount": "微信收款二百点零五元",
    }


def test_a_service_with_a_wrong_address_does_not_start(settings):
    with pytest.raises(SettingsError, match="mqtt_url: the port"):
        create_backend(settings.model_copy(update={"mqtt_url": "mqtt://broker:y"}), instance="a")
