"""A loudspeaker on a real broker: it subscribes as boxes do and comes back when the connection breaks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

import aiomqtt

from protocols.loudspeaker import TOPIC
from sim.loudspeaker.box import Loudspeaker

__all__ = ["MqttListener"]

_KEEP_ALIVE_S: Final = 60
_AGAIN_S: Final = 1.0


class MqttListener:
    """The box's client: MQTT 3.1.1, QoS 1, a session that outlives its outages.

    Args:
        box: gets each message.
        url: ``mqtt://[user:password@]host[:port]``, or ``mqtts://``.
        topic: where it listens; ``{box}`` stands for its number.
        timeout_s: for connecting.
        on_payload: sees each message first.

    Attributes:
        topic: where it listens.
        connected: set while it does.
        received: messages so far.
        problem: why it is not connected; empty while it is.

    Raises:
        ValueError: not such a URL.
    """

    def __init__(
        self,
        box: Loudspeaker,
        url: str,
        *,
        topic: str = TOPIC,
        timeout_s: float = 5.0,
        on_payload: Callable[[bytes], None] | None = None,
    ) -> None:
        self._parts, self._port = self.check(url)
        self._timeout_s = timeout_s
        self._box = box
        self._on_payload = on_payload
        self.topic = topic.replace("{box}", box.name)
        self.connected = asyncio.Event()
        self.received = 0
        self.problem = ""
        self._task: asyncio.Task[None] | None = None

    @staticmethod
    def check(url: str) -> tuple[SplitResult, int | None]:
        """The parts of a broker's URL and its port. Raises ValueError for any other URL."""
        parts = urlsplit(url)
        if parts.scheme not in {"mqtt", "mqtts"} or not parts.hostname:
            raise ValueError(f"{url!r} is not mqtt://host[:port] or mqtts://host[:port]")
        return parts, parts.port

    def start(self) -> None:
        """Connect in the background, again and again."""
        if self._task is None:
            self._task = asyncio.create_task(self._live(), name=f"loudspeaker-{self._box.name}")

    async def stop(self) -> None:
        """Hang up."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _live(self) -> None:
        while True:
            try:
                await self._listen()
            except (aiomqtt.MqttError, OSError) as error:
                self.problem = str(error)
            finally:
                self.connected.clear()
            await asyncio.sleep(_AGAIN_S)

    async def _listen(self) -> None:
        parts = self._parts
        is_tls = parts.scheme == "mqtts"
        client = aiomqtt.Client(
            hostname=parts.hostname or "",
            port=self._port or (8883 if is_tls else 1883),
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            identifier=self._box.name,
            protocol=aiomqtt.ProtocolVersion.V311,
            clean_session=False,
            keepalive=_KEEP_ALIVE_S,
            tls_params=aiomqtt.TLSParameters() if is_tls else None,
            timeout=self._timeout_s,
        )
        # What raises in paho's callbacks (a topic that is no UTF-8) it would read again and again, deaf to the rest; now it logs it.
        client._client.suppress_exceptions = True
        async with client:
            await client.subscribe(self.topic, qos=1)
            self.problem = ""
            self.connected.set()
            async for message in client.messages:
                self.received += 1
                payload = message.payload if isinstance(message.payload, bytes) else b""
                if self._on_payload is not None:
                    self._on_payload(payload)
                self._box.receive(payload)
