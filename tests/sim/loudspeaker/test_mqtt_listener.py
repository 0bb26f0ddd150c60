"""The box's MQTT client against a broker that breaks the protocol; real brokers are in tests/peers."""

from __future__ import annotations

import asyncio
import struct

import pytest

from protocols.loudspeaker import MoneyMessage, encode_message
from sim.kernel import WallKernel
from sim.loudspeaker import Loudspeaker
from sim.loudspeaker.listener import MqttListener

TOPIC = b"/sub/topic/money/17"


def publish(topic, number):
    payload = encode_message(MoneyMessage(number, 1))
    body = struct.pack(">H", len(topic)) + topic + payload
    return bytes((0x30, len(body))) + body


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "broken",
    [publish(b"\xff\xfe", "x"), b"\x90\x03\xff\xff\x80", b"\xb0\x02\x00\x77"],
    ids=[
        "a topic that is no UTF-8",
        "a receipt for what was never subscribed",
        "and for what was never left",
    ],
)
def test_what_a_broker_must_not_send_does_not_make_the_box_deaf(broken):
    asyncio.run(hears_on(broken))


async def hears_on(broken):
    heard = asyncio.Queue()

    async def broker(reader, writer):
        await reader.read(1000)
        writer.write(b"\x20\x02\x00\x00")
        subscribe = await reader.read(1000)
        writer.write(b"\x90\x03" + subscribe[2:4] + b"\x01" + broken + publish(TOPIC, "good"))
        await reader.read()
        writer.close()

    server = await asyncio.start_server(broker, "127.0.0.1", 0)
    box = Loudspeaker(WallKernel("voice"), "17")
    port = server.sockets[0].getsockname()[1]
    listener = MqttListener(box, f"mqtt://127.0.0.1:{port}", on_payload=heard.put_nowait)
    listener.start()
    try:
        got = await asyncio.wait_for(heard.get(), 5)
        while b"good" not in got:
            got = await asyncio.wait_for(heard.get(), 5)
    finally:
        await listener.stop()
        server.close()
        await server.wait_closed()
