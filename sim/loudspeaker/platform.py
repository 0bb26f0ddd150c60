"""A maker's platform for loudspeakers over HTTP: a form in, a JSON answer out, and the box is told."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from typing import Final
from urllib.parse import parse_qs, urlencode

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from protocols.chinese_numerals import MAX_AMOUNT_FEN, point_words
from protocols.loudspeaker import (
    PAY_TYPES,
    REPEAT_WINDOW_US,
    ErrCode,
    SayAmount,
    SayText,
    SpeakerApiError,
    decode_form,
    encode_reply,
)
from sim.kernel import Kernel
from sim.latency import LatencyProfile
from sim.loudspeaker.box import Loudspeaker
from sim.loudspeaker.faults import SpeakerFaultKind

__all__ = ["RegisteredSpeaker", "SpeakerPlatform"]

_MAX_BODY_BYTES: Final = 8_192
_TYPE: Final = "application/json;charset=utf-8"


@dataclass(frozen=True)
class RegisteredSpeaker:
    """A box that the platform knows.

    Attributes:
        token: who may speak through it.
        version: the interface's version that stands on it.
    """

    box: Loudspeaker
    token: str = field(repr=False)
    version: str = "3"


class SpeakerPlatform:
    """The platform; the object is its ASGI application.

    What it does with a message for a box that is offline is not published: ``holds_offline`` keeps it until the box is back, and
    by default it is gone.

    Args:
        kernel: clock, streams and trace.
        speakers: the boxes it knows, by their serial numbers.
        latency: its own share of a request.
        push: from the platform to a box.
        holds_offline: see above.

    Attributes:
        counts: answers given, by error code.
    """

    def __init__(
        self,
        kernel: Kernel,
        speakers: Iterable[RegisteredSpeaker],
        *,
        latency: LatencyProfile | None = None,
        push: LatencyProfile | None = None,
        holds_offline: bool = False,
    ) -> None:
        self.kernel = kernel
        self.counts: dict[int, int] = {}
        self._speakers = {speaker.box.name: speaker for speaker in speakers}
        self._latency = latency or LatencyProfile.constant(30_000)
        self._push = push or LatencyProfile.constant(60_000)
        self._holds_offline = holds_offline
        self._recent: dict[tuple[str, int], tuple[object, int]] = {}
        self._held: dict[str, list[SayText | SayAmount]] = {name: [] for name in self._speakers}
        for name, speaker in self._speakers.items():
            speaker.box.on_online.append(lambda name=name: self._release(name))  # type: ignore[misc]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI call."""
        if scope["type"] == "lifespan":
            while True:
                message = await receive()
                await send({"type": f"{message['type']}.complete"})
                if message["type"] == "lifespan.shutdown":
                    return
        if scope["type"] != "http":
            raise RuntimeError(f"the loudspeaker platform speaks HTTP, not {scope['type']}")
        try:
            response = await self._answer(Request(scope, receive))
        except ClientDisconnect:
            return
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        path = request.url.path
        if path not in {"/notify.php", "/add.php"}:
            return Response("404 Not Found", 404, media_type="text/html")
        if request.method not in {"GET", "POST"}:
            return Response(b"", 405)
        raw = request.url.query
        if request.method == "POST":
            body = bytearray()
            async for chunk in request.stream():
                body += chunk
                if len(body) > _MAX_BODY_BYTES:
                    return Response(b"", 413)
            form = _form(request.headers.get("content-type", ""), bytes(body))
            raw = "&".join(part for part in (raw, form) if part)
        delay_us = self._latency.draw(self.kernel.streams.get("loudspeaker-platform", "latency"))
        if delay_us:
            await asyncio.sleep(delay_us / 1_000_000)
        code = self._take(path, raw)
        self.counts[int(code)] = self.counts.get(int(code), 0) + 1
        return Response(encode_reply(code), headers={"Content-Type": _TYPE})

    def _take(self, path: str, raw: str) -> ErrCode:
        try:
            fields = {name: values[0] for name, values in parse_qs(raw, max_num_fields=32).items()}
            request = decode_form(path, fields)
        except SpeakerApiError as error:
            return error.code
        except ValueError:
            return ErrCode.UNKNOWN
        speaker = self._speakers.get(request.speaker_id)
        if request.token not in {known.token for known in self._speakers.values()}:
            return ErrCode.BAD_TOKEN
        if speaker is None:
            return ErrCode.NO_SUCH_SPEAKER
        if speaker.token != request.token or speaker.version != request.version:
            return ErrCode.NO_RIGHT
        if self._is_repeated(request):
            return ErrCode.REPEATED
        if speaker.box.strike(SpeakerFaultKind.REFUSED, _name_of(request)):
            self._recent.pop((request.speaker_id, request.seq or 0), None)
            return ErrCode.UNKNOWN
        self._send(speaker.box, request)
        return ErrCode.OK

    def _is_repeated(self, request: SayText | SayAmount) -> bool:
        """The same ``seq`` with the same content within 200 s; without one nothing is compared."""
        if request.seq is None:
            return False
        now_us = self.kernel.now_us
        self._recent = {key: one for key, one in self._recent.items() if one[1] > now_us}
        key = (request.speaker_id, request.seq)
        known = self._recent.get(key)
        if known is not None and known[0] == request:
            return True
        self._recent[key] = (request, now_us + REPEAT_WINDOW_US)
        return False

    def _send(self, box: Loudspeaker, request: SayText | SayAmount) -> None:
        name = _name_of(request)
        if box.strike(SpeakerFaultKind.LOST, name):
            return
        if not box.is_online:
            if self._holds_offline:
                self._held[box.name].append(request)
            else:
                self.kernel.trace.emit("loudspeaker.unreached", box.entity, request_id=name)
            return
        delay_us = self._push.draw(self.kernel.streams.get("loudspeaker-platform", "push"))
        late = box.strike(SpeakerFaultKind.LATE, name)
        if late is not None:
            delay_us += late.delay_us
        self.kernel.call_later(delay_us, self._arrive, box, request)
        again = box.strike(SpeakerFaultKind.DUPLICATE, name)
        if again is not None:
            self.kernel.call_later(delay_us + again.delay_us, self._arrive, box, request)

    def _arrive(self, box: Loudspeaker, request: SayText | SayAmount) -> None:
        if not box.is_online:
            self.kernel.trace.emit("loudspeaker.unreached", box.entity, request_id=_name_of(request))
            return
        if isinstance(request, SayText):
            box.receive_text(request.message, request_id=_name_of(request), volume=request.volume)
            return
        payer = PAY_TYPES.get(request.pay_type, "")
        said = point_words(min(request.price_fen, MAX_AMOUNT_FEN))
        box.take(_name_of(request), (*((payer,) if payer else ()), "收款", *said), volume=request.volume)

    def _release(self, name: str) -> None:
        held, self._held[name] = self._held[name], []
        for request in held:
            self._send(self._speakers[name].box, request)


def _name_of(request: SayText | SayAmount) -> str | None:
    """What a message is known by: the sender's own trace number, else its ``seq``."""
    if request.trace_no is not None:
        return request.trace_no
    return None if request.seq is None else str(request.seq)


def _form(content_type: str, body: bytes) -> str:
    """A body as a query string; PHP, which the maker's platform is written in, takes both kinds of form alike."""
    if not content_type.lower().startswith("multipart/form-data"):
        return body.decode("utf-8", "replace")
    head = f"Content-Type: {content_type}\r\n\r\n".encode("latin-1", "replace")
    fields = []
    for part in BytesParser(policy=HTTP).parsebytes(head + body).iter_parts():
        name, value = part.get_param("name", header="content-disposition"), part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(value, bytes):
            fields.append((name, value.decode("utf-8", "replace")))
    return urlencode(fields)
