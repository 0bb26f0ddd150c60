"""How an announcement reaches a loudspeaker: a broker, or its maker's HTTP interface. Two kinds of failure, as with the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote, urlsplit

import httpx

from protocols.chinese_numerals import NumeralError
from protocols.loudspeaker import (
    BANKS,
    Announcement,
    ClipMessage,
    MoneyMessage,
    Reading,
    SayAmount,
    SayText,
    SpeakerApiError,
    UnknownClipError,
    decode_reply,
    encode_form,
    encode_message,
    words_of,
)
from reference.backend.voice.settings import LoudspeakerSettings

if TYPE_CHECKING:
    import aiomqtt

__all__ = [
    "MqttPublisher",
    "VoicePublisher",
    "VoiceRefusedError",
    "VoiceUnknownError",
    "Voices",
    "spoken_words",
]

_PAY_TYPES = {"微信": 2, "支付宝": 1, "银联": 7, "会员": 8}

_PATIENCE_S = 2.0
"""No answer in this time: an announcement that waits longer is late, so it is better asked for again."""


class VoiceUnknownError(Exception):
    """The message may be out or not; sending it again under its number does no harm."""


class VoiceRefusedError(Exception):
    """It cannot be said, now or later: the service refuses it, or there are no words for it."""


class VoicePublisher(Protocol):
    """A client of an MQTT broker."""

    async def publish(self, topic: str, payload: bytes, *, expires_s: int | None = None) -> None:
        """Publish with QoS 1 and wait for the receipt; after ``expires_s`` the broker may drop what it has not begun to deliver.

        Raises:
            ConnectionError: no receipt came.
        """


def spoken_words(speaker: LoudspeakerSettings, announcement: Announcement) -> Sequence[str]:
    """What this loudspeaker will say, as far as it is known here.

    Raises:
        VoiceRefusedError: there are no words or no clips for it.
    """
    reading: Reading = "units"
    if speaker.kind in {"money", "amount"}:
        reading, announcement = "point", _without_nozzle(announcement)
        if speaker.kind == "money":
            announcement = replace(announcement, payer=None)  # it says 收款 and the number
    elif speaker.kind == "clips":
        bank = BANKS[speaker.bank]
        reading = bank.reading
        if not bank.says_nozzle:
            announcement = _without_nozzle(announcement)
    try:
        return words_of(announcement, reading=reading)
    except NumeralError as error:
        raise VoiceRefusedError(str(error)) from error


def _without_nozzle(announcement: Announcement) -> Announcement:
    return replace(announcement, nozzle=None)


class Voices:
    """The ways to all loudspeakers.

    Args:
        transport: for the HTTP interface.
        url: where that answers.
        publisher: the broker's client; None where no loudspeaker needs one.
        timeout_s: how long a call may take, 2 s at most. After that its outcome is unknown.
    """

    def __init__(
        self,
        transport: httpx.AsyncBaseTransport,
        url: str,
        publisher: VoicePublisher | None,
        timeout_s: float,
    ) -> None:
        self._timeout_s = min(timeout_s, _PATIENCE_S)
        self._client = httpx.AsyncClient(
            transport=transport, base_url=url, timeout=self._timeout_s, trust_env=False
        )
        self._publisher = publisher

    async def say(
        self, speaker: LoudspeakerSettings, announcement: Announcement, *, seq: int, expires_s: int
    ) -> None:
        """Send an announcement.

        Args:
            speaker: to this loudspeaker.
            announcement: what to say.
            seq: keeps repeats out of the HTTP interface; the same at each try.
            expires_s: a broker drops it after that.

        Raises:
            VoiceUnknownError: nobody said that it was taken.
            VoiceRefusedError: it was refused.
        """
        words = spoken_words(speaker, announcement)
        if speaker.is_mqtt:
            await self._publish(speaker, announcement, words, expires_s)
        else:
            await self._post(speaker, announcement, words, seq)

    async def _publish(
        self, speaker: LoudspeakerSettings, announcement: Announcement, words: Sequence[str], expires_s: int
    ) -> None:
        if self._publisher is None:
            raise VoiceRefusedError("mqtt_url is not set")
        message: ClipMessage | MoneyMessage
        if speaker.kind == "money":
            message = MoneyMessage(announcement.request_id, announcement.amount_fen)
        else:
            try:
                clips = BANKS[speaker.bank].numbers(words)
            except UnknownClipError as error:
                raise VoiceRefusedError(str(error)) from error
            message = ClipMessage(announcement.request_id, clips)
        topic = speaker.topic.replace("{box}", speaker.speaker_id)
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._publisher.publish(topic, encode_message(message), expires_s=expires_s)
        except (ConnectionError, TimeoutError) as error:
            raise VoiceUnknownError(f"the broker: {str(error) or 'no answer in time'}") from error

    async def _post(
        self, speaker: LoudspeakerSettings, announcement: Announcement, words: Sequence[str], seq: int
    ) -> None:
        try:
            path, form = encode_form(_request(speaker, announcement, words, seq))
        except SpeakerApiError as error:
            raise VoiceRefusedError(str(error)) from error
        try:
            reply = await self._client.post(path, data=form)
            answer = decode_reply(reply.content) if reply.status_code == 200 else None
        except httpx.HTTPError as error:
            raise VoiceUnknownError(f"the loudspeaker platform: {type(error).__name__}") from error
        except SpeakerApiError as error:
            raise VoiceUnknownError(f"the loudspeaker platform: {error}") from error
        if answer is None or answer.errcode == 1:  # 未知错误: it may have been taken or not
            raise VoiceUnknownError(
                f"the loudspeaker platform: {answer.errmsg if answer else reply.status_code}"
            )
        if not answer.is_taken:
            raise VoiceRefusedError(f"the loudspeaker platform: {answer.errcode} {answer.errmsg}")

    async def aclose(self) -> None:
        """Close the broker's connection; the transport belongs to whoever gave it."""
        if isinstance(self._publisher, MqttPublisher):
            await self._publisher.aclose()


def _request(
    speaker: LoudspeakerSettings, announcement: Announcement, words: Sequence[str], seq: int
) -> SayText | SayAmount:
    if speaker.kind == "text":
        message = "".join(words).replace("号枪", "号枪,", 1)  # a comma is a pause
        return SayText(
            speaker_id=speaker.speaker_id, token=speaker.token or "", version=speaker.version, message=message,
            seq=seq, trace_no=announcement.request_id,
        )  # fmt: skip
    return SayAmount(
        speaker_id=speaker.speaker_id, token=speaker.token or "", version=speaker.version,
        price_fen=announcement.amount_fen, pay_type=_PAY_TYPES.get(announcement.payer or "", 0), seq=seq,
        trace_no=announcement.request_id,
    )  # fmt: skip


class MqttPublisher:
    """A connection to a real broker (MQTT 5), opened when it is first needed and again after it broke.

    Args:
        url: ``mqtt://[user:password@]host[:port]``, or ``mqtts://``.
        name: the client's identifier.
        timeout_s: for connecting and for a receipt.

    Raises:
        ValueError: not such a URL.
    """

    def __init__(self, url: str, name: str, timeout_s: float) -> None:
        parts = urlsplit(url)
        try:
            self._port = parts.port or (8883 if parts.scheme == "mqtts" else 1883)
        except ValueError:
            raise ValueError("mqtt_url: the port must be a number from 1 to 65535") from None
        if parts.scheme not in {"mqtt", "mqtts"} or not parts.hostname:
            raise ValueError("mqtt_url: must be mqtt://host or mqtts://host")
        self._parts = parts
        self._name = name
        self._timeout_s = timeout_s
        self._stack: AsyncExitStack | None = None
        self._client: aiomqtt.Client | None = None
        self._lock = asyncio.Lock()

    async def publish(self, topic: str, payload: bytes, *, expires_s: int | None = None) -> None:
        """See `VoicePublisher`."""
        import aiomqtt
        from paho.mqtt.packettypes import PacketTypes
        from paho.mqtt.properties import Properties

        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        if expires_s is not None:
            properties.MessageExpiryInterval = expires_s
        async with self._lock:
            try:
                client = self._client or await self._connect()
                await client.publish(topic, payload, qos=1, properties=properties, timeout=self._timeout_s)
            except (aiomqtt.MqttError, OSError) as error:
                await self._drop()
                raise ConnectionError(str(error)) from error
            except BaseException:
                await self._drop()
                raise

    async def _connect(self) -> aiomqtt.Client:
        import aiomqtt

        parts = self._parts
        is_tls = parts.scheme == "mqtts"
        client = aiomqtt.Client(
            hostname=parts.hostname or "",
            port=self._port,
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            identifier=f"forecourt-{self._name}",
            protocol=aiomqtt.ProtocolVersion.V5,
            tls_params=aiomqtt.TLSParameters() if is_tls else None,
            timeout=self._timeout_s,
        )
        stack = AsyncExitStack()
        self._client = await stack.enter_async_context(client)
        self._stack = stack
        return self._client

    async def _drop(self) -> None:
        """Forget the connection, whatever state it is in."""
        import aiomqtt

        stack, self._stack, self._client = self._stack, None, None
        if stack is not None:
            try:
                await stack.aclose()
            except (aiomqtt.MqttError, OSError):
                return

    async def aclose(self) -> None:
        """Close the connection."""
        async with self._lock:
            await self._drop()
