"""Loudspeakers over a real broker: Debian's mosquitto and its tools, and the paho client, play the cloud and the box."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import paho.mqtt.client as paho
import pytest

from protocols.loudspeaker import TOPIC, Announcement
from reference.backend.voice.channels import MqttPublisher, Voices, VoiceUnknownError
from reference.backend.voice.settings import LoudspeakerSettings
from sim.kernel import WallKernel
from sim.loudspeaker import BoxProfile, Loudspeaker
from sim.loudspeaker.listener import MqttListener

BOX = "860000000000017"
PLACE = TOPIC.replace("{box}", BOX)
PATIENCE_S = 20
QUICK = BoxProfile(character_us=1_000, gap_us=0, queue_limit=100)
INSTALL = "apt-get install mosquitto mosquitto-clients"


class Broker:
    """A mosquitto of our own on a loopback port."""

    def __init__(self, program: str, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"mqtt://127.0.0.1:{self.port}"
        self._program = program
        self._file = folder / "mosquitto.conf"
        self._file.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence false\n")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [self._program, "-c", self._file], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for _ in range(PATIENCE_S * 100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = self._process.wait(0.01)
                raise AssertionError(f"mosquitto ended with {code}")
        raise AssertionError("mosquitto does not answer")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE_S)
            self._process = None


@pytest.fixture
def broker(foreign, tmp_path) -> Iterator[Broker]:
    foreign.program("mosquitto_pub", install=INSTALL)
    # Debian puts it where only root's path leads.
    program = (
        "/usr/sbin/mosquitto"
        if Path("/usr/sbin/mosquitto").is_file()
        else foreign.program("mosquitto", install=INSTALL)
    )
    started = Broker(program, tmp_path)
    try:
        started.start()
        yield started
    finally:
        started.kill()


@asynccontextmanager
async def box_on(broker: Broker) -> AsyncIterator[Loudspeaker]:
    """Our loudspeaker, subscribed."""
    kernel = WallKernel("peer")
    box = Loudspeaker(kernel, BOX, profile=QUICK)
    running = asyncio.create_task(kernel.run(3_600_000_000))
    listener = MqttListener(box, broker.url)
    listener.start()
    try:
        async with asyncio.timeout(PATIENCE_S):
            await listener.connected.wait()
        yield box
    finally:
        await listener.stop()
        kernel.stop()
        await running
        await kernel.close()


async def said(box: Loudspeaker, count: int) -> list[str]:
    """What it has said, once there is so much."""
    async with asyncio.timeout(PATIENCE_S):
        while len(box.said) < count:
            await asyncio.sleep(0.005)
    return ["".join(one.words) for one in box.said]


async def tool(*command: object) -> str:
    process = await asyncio.create_subprocess_exec(*map(str, command), stdout=asyncio.subprocess.PIPE)
    output, _ = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    assert process.returncode == 0, output
    return output.decode()


@contextmanager
def paho_box(broker: Broker, wanted: int) -> Iterator[tuple[threading.Event, list[paho.MQTTMessage]]]:
    """The paho client as a box of MQTT 5: (set when ``wanted`` messages are there, the messages)."""
    heard: list[paho.MQTTMessage] = []
    listening, enough = threading.Event(), threading.Event()

    def on_message(client, userdata, message):
        heard.append(message)
        if len(heard) == wanted:
            enough.set()

    client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=BOX, protocol=paho.MQTTv5)
    client.on_message = on_message
    client.on_subscribe = lambda *_: listening.set()
    client.connect("127.0.0.1", broker.port)
    client.subscribe(PLACE, qos=1)
    client.loop_start()
    try:
        assert listening.wait(PATIENCE_S)
        yield enough, heard
    finally:
        client.disconnect()
        client.loop_stop()


def voices(publisher: MqttPublisher) -> Voices:
    import httpx

    return Voices(httpx.MockTransport(lambda _: httpx.Response(500)), "https://speaker", publisher, 5.0)


@pytest.mark.foreign
def test_mosquitto_pub_makes_the_loudspeaker_speak(broker):
    async def run():
        async with box_on(broker) as box:
            clips = json.dumps({"playAudibleMsg": "069-071-003-010-014-005-015", "orderId": "o1"})
            money = json.dumps({"broadcast_type": 2, "money": "200.05", "biz_type": 2, "request_id": "r1"})
            send = ("mosquitto_pub", "-p", broker.port, "-t", PLACE, "-q", 1, "-m")
            await tool(*send, clips)
            await tool(*send, money)
            await tool(*send, clips)
            await tool(*send, "not a message")
            await tool(*send, '{"money":"8.8"}')
            assert await said(box, 3) == ["支付宝到账三十点五元", "收款二百点零五元", "收款八点八元"]
            assert (box.repeated, box.discarded) == (1, 1)

    asyncio.run(run())


@pytest.mark.foreign
def test_paho_plays_the_cloud(broker):
    async def run():
        async with box_on(broker) as box:
            client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="cloud")
            client.connect("127.0.0.1", broker.port)
            client.loop_start()
            for number in range(20):
                fields = {
                    "broadcast_type": 2,
                    "money": f"{number}.50",
                    "biz_type": 2,
                    "request_id": f"r{number}",
                }
                client.publish(PLACE, json.dumps(fields), qos=1).wait_for_publish(PATIENCE_S)
            await said(box, 20)
            client.disconnect()
            client.loop_stop()
            assert [one.request_id for one in box.said] == [f"r{number}" for number in range(20)]

    asyncio.run(run())


@pytest.mark.foreign
def test_paho_plays_the_box_and_hears_what_the_backend_says(broker):
    async def run():
        publisher = MqttPublisher(broker.url, "backend-a", 5.0)
        try:
            box = LoudspeakerSettings(kind="clips", speaker_id=BOX)
            for number in ("N1", "N2"):
                announcement = Announcement(request_id=number, amount_fen=20_005, nozzle=3)
                await voices(publisher).say(box, announcement, seq=1, expires_s=25)
            bare = LoudspeakerSettings(kind="money", speaker_id=BOX)
            await voices(publisher).say(
                bare, Announcement(request_id="N3", amount_fen=1, nozzle=3), seq=1, expires_s=25
            )
        finally:
            await publisher.aclose()

    with paho_box(broker, 3) as (enough, heard):
        asyncio.run(run())
        assert enough.wait(PATIENCE_S)
    # Written down from the makers' tables, not by our codec: 三号枪微信收款二百元零五分.
    clips = "003-203-204-067-065-002-011-015-000-005-202"
    assert [json.loads(message.payload) for message in heard] == [
        {"playAudibleMsg": clips, "orderId": "N1"},
        {"playAudibleMsg": clips, "orderId": "N2"},
        {"broadcast_type": 2, "money": "0.01", "biz_type": 2, "request_id": "N3"},
    ]
    assert {message.qos for message in heard} == {1}
    assert all(24 <= message.properties.MessageExpiryInterval <= 25 for message in heard)


@pytest.mark.foreign
def test_mosquitto_sub_hears_it_too(broker):
    async def run():
        listening = await asyncio.create_subprocess_exec(
            "mosquitto_sub", "-p", str(broker.port), "-t", PLACE, "-t", "$SYS/broker/version", "-C", "2", "-v",
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert listening.stdout is not None
        assert (await asyncio.wait_for(listening.stdout.readline(), PATIENCE_S)).startswith(b"$SYS/broker")
        publisher = MqttPublisher(broker.url, "backend-a", 5.0)
        await publisher.publish(PLACE, b'{"money":"1.00"}', expires_s=9)
        await publisher.aclose()
        output, _ = await asyncio.wait_for(listening.communicate(), PATIENCE_S)
        assert output.decode().strip() == f'{PLACE} {{"money":"1.00"}}'

    asyncio.run(run())


@pytest.mark.foreign
def test_a_broker_that_dies_is_an_unknown_outcome_and_a_new_one_is_found(broker):
    async def run():
        publisher = MqttPublisher(broker.url, "backend-a", 1.0)
        speaker = LoudspeakerSettings(kind="money", speaker_id=BOX)
        announcement = Announcement(request_id="N1", amount_fen=100)
        try:
            await voices(publisher).say(speaker, announcement, seq=1, expires_s=9)
            broker.kill()
            with pytest.raises(VoiceUnknownError, match="the broker"):
                await voices(publisher).say(speaker, announcement, seq=1, expires_s=9)
            with pytest.raises(VoiceUnknownError, match="the broker"):
                await voices(publisher).say(speaker, announcement, seq=1, expires_s=9)
            await asyncio.to_thread(broker.start)
            await voices(publisher).say(speaker, announcement, seq=1, expires_s=9)
        finally:
            await publisher.aclose()

    asyncio.run(run())


@pytest.mark.foreign
def test_what_the_box_missed_waits_for_it_at_the_broker(broker):
    """A session outlives the box's absence; nothing is said twice."""

    async def run():
        publisher = MqttPublisher(broker.url, "backend-a", 5.0)
        speaker = LoudspeakerSettings(kind="money", speaker_id=BOX)
        try:
            async with box_on(broker):
                pass
            for number in ("N1", "N2", "N1"):
                announcement = Announcement(request_id=number, amount_fen=100)
                await voices(publisher).say(speaker, announcement, seq=1, expires_s=60)
            async with box_on(broker) as box:
                assert await said(box, 2) == ["收款一元", "收款一元"]
                assert [one.request_id for one in box.said] == ["N1", "N2"]
        finally:
            await publisher.aclose()

    asyncio.run(run())
