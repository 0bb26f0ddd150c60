"""A loudspeaker that stands alone: on a broker of yours, or behind its maker's HTTP interface, with its control API."""

from __future__ import annotations

import io
import random
import wave
from typing import Annotated, Any, Final, Literal

import numpy as np
from fastapi import Body, FastAPI, HTTPException, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.types import Message, Receive, Scope, Send

from protocols.loudspeaker import NOTIFY_PATH, TOPIC
from scenarios.world.device import DeviceOnWire, WirePlace
from scenarios.world.hands import hands_api
from scenarios.world.serving import HttpServer, open_port
from sim.faults import FaultError
from sim.loudspeaker import (
    BoxProfile,
    Loudspeaker,
    RegisteredSpeaker,
    SpeakerFault,
    SpeakerPlatform,
    Spoken,
)
from sim.loudspeaker.listener import MqttListener
from sim.loudspeaker.voice import Playing, join_clips

__all__ = ["SpeakerDevice"]

_SHOWN: Final = 100
_RATE: Final = 8_000


class _Act(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Switch(_Act):
    on: bool


class _Volume(_Act):
    volume: Annotated[int, Field(ge=0, le=100)]


class SpeakerDevice(DeviceOnWire):
    """A loudspeaker, see the module.

    Args:
        place: where the maker's interface listens; unused with a broker.
        box: its number.
        token: who may speak through the HTTP interface.
        mqtt: URL of a broker to listen to instead.
        topic: where it listens there.
        profile: its make.
        control_port: of the control API; 0 takes any free one.

    Raises:
        ValueError: ``mqtt`` is no such URL.
    """

    speaker: Loudspeaker

    def __init__(
        self,
        place: WirePlace,
        *,
        box: str,
        token: str,
        mqtt: str | None = None,
        topic: str = TOPIC,
        profile: BoxProfile | None = None,
        control_port: int = 0,
    ) -> None:
        super().__init__("loudspeaker", place, control_port=control_port)
        if mqtt is not None:
            MqttListener.check(mqtt)
        self._box, self._token, self._mqtt, self._topic = box, token, mqtt, topic
        self._profile = profile
        self._cloud = self.wire.port("cloud")
        self.listener: MqttListener | None = None

    async def _open_wire(self) -> None:
        self.speaker = Loudspeaker(self.kernel, self._box, profile=self._profile)
        if self._mqtt is not None:
            self.listener = MqttListener(self.speaker, self._mqtt, topic=self._topic, on_payload=self._count)
            self.listener.start()
            self._stack.push_async_callback(self.listener.stop)
            self.where = (
                f"{self._mqtt.rpartition('@')[2].removeprefix('mqtt://')}, topic {self.listener.topic}"
            )
            return
        socket = open_port(self.place.host, self.place.port)
        self._stack.callback(socket.close)
        platform = SpeakerPlatform(self.kernel, [RegisteredSpeaker(self.speaker, self._token)])
        server = HttpServer(_Counting(platform, self._count), socket)
        self._stack.push_async_callback(server.stop)
        await server.start()
        self.where = f"{server.url}{NOTIFY_PATH}"

    def _count(self, payload: bytes) -> None:
        self.wire.record(self.kernel.now_us, self._cloud, payload)

    def line(self) -> str:
        """Its state in a few words."""
        speaker = self.speaker
        state = "off" if not speaker.is_powered else "speaking" if speaker.is_speaking else "silent"
        if self.listener is not None and not self.listener.connected.is_set():
            state += f", not connected {self.listener.problem}".rstrip()
        last = f", last: {''.join(speaker.said[-1].words)}" if speaker.said else ""
        return f"{state}, {len(speaker.said)} said{last}"

    def _control_app(self) -> FastAPI:
        return _control(self.speaker)


class _Counting:
    """Counts what comes in with each request."""

    def __init__(self, app: SpeakerPlatform, count: Any) -> None:
        self._app, self._count = app, count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = bytearray(scope.get("query_string", b""))

        async def counted() -> Message:
            message = await receive()
            body.extend(message.get("body", b""))
            return message

        await self._app(scope, counted, send)
        self._count(bytes(body))


def _control(speaker: Loudspeaker) -> FastAPI:
    app = hands_api("Loudspeaker", "What it said, and what goes wrong with it.")
    _said_routes(app, speaker)
    _fault_routes(app, speaker)

    @app.get("/state")
    async def state() -> dict[str, Any]:
        """Volume, power, radio and counters."""
        return {
            "volume": speaker.volume,
            "powered": speaker.is_powered,
            "online": speaker.is_online,
            "speaking": speaker.is_speaking,
            "said": len(speaker.said),
            "repeated": speaker.repeated,
            "discarded": speaker.discarded,
        }

    @app.post("/volume", status_code=204)
    async def volume(act: _Volume) -> None:
        """Turn the knob."""
        speaker.volume = act.volume

    @app.post("/{part}", status_code=204)
    async def switch(part: Literal["power", "radio"], act: _Switch) -> None:
        """Power or radio, on or off."""
        if part == "power":
            (speaker.power_on if act.on else speaker.power_off)()
        elif act.on:
            speaker.radio_on()
        else:
            speaker.radio_off()

    return app


def _said_routes(app: FastAPI, speaker: Loudspeaker) -> None:
    @app.get("/said")
    async def said() -> list[dict[str, Any]]:
        """The last 100 announcements, oldest first."""
        first = max(0, len(speaker.said) - _SHOWN)
        return [_shown(first + number, one) for number, one in enumerate(list(speaker.said)[-_SHOWN:])]

    @app.get("/said/{number}.wav", response_class=Response)
    async def sound(number: int) -> Response:
        """An announcement as sound: recordings made of tones, one for each word."""
        if not 0 <= number < len(speaker.said):
            raise HTTPException(404, f"there is no announcement {number}")
        return Response(_wave(speaker.said[number]), media_type="audio/wav")


def _fault_routes(app: FastAPI, speaker: Loudspeaker) -> None:
    @app.get("/faults")
    async def faults() -> dict[str, dict[str, int]]:
        """Faults at work, with their counters."""
        return speaker.faults.report()

    @app.put("/faults/{name}", status_code=204)
    async def arm(name: str, fault: Annotated[dict[str, Any], Body()]) -> None:
        """Add a fault from now on: ``{"kind": "lost", "probability": 0.1, "limit": 3}``."""
        try:
            speaker.arm(SpeakerFault.from_dict({**fault, "name": name, "at_us": speaker.kernel.now_us}))
        except (FaultError, TypeError) as error:
            raise HTTPException(422, str(error)) from None

    @app.delete("/faults/{name}", status_code=204)
    async def disarm(name: str) -> None:
        """Take one away."""
        try:
            speaker.faults.disarm(name)
        except KeyError:
            raise HTTPException(404, f"there is no fault {name!r}") from None


def _shown(number: int, one: Spoken) -> dict[str, Any]:
    return {
        "number": number,
        "request_id": one.request_id,
        "words": "".join(one.words),
        "started_us": one.started_us,
        "ended_us": one.ended_us,
        "volume": one.volume,
        "whole": one.is_whole,
    }


def _wave(one: Spoken) -> bytes:
    playing = Playing(rate=_RATE, gain=0.2 * one.volume / 100, snr_db=None)
    samples = join_clips(one.words, playing, random.Random("sound"))
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(_RATE)
        out.writeframes((np.clip(samples, -1, 1) * 32_767).astype("<i2").tobytes())
    return file.getvalue()
