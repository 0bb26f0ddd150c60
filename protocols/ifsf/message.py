"""Messages: header, database address, elements; bytes to dataclasses and back.

``LNAR(2) LNAO(2) MC ST LEN(2) DBLEN DBADDR data``: receiver and originator as subnet and node, message code, kind and token,
and the length from DBLEN on. Sources: four independent implementations (see `protocols.ifsf.codes`) and field captures in
ycxzfforever/ZSY_IFSF.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from .codes import MessageAck, MessageCode, MessageKind

__all__ = ["HEADER_SIZE", "Address", "Element", "Message", "MessageError", "decode_message", "encode_message"]

HEADER_SIZE = 8
_LONG = 0xFF
_TOKENS = 32


class MessageError(ValueError):
    """Bytes that are framed but are no message; the text says where it breaks."""


class Address(NamedTuple):
    """A logical node. Subnet 1 holds dispensers, 2 controlling devices; 0.0 is nobody yet."""

    subnet: int
    node: int

    def encode(self) -> bytes:
        """Two bytes, as in headers and recipient lists."""
        return bytes(self)

    def __str__(self) -> str:
        return f"{self.subnet}.{self.node}"


class Element(NamedTuple):
    """One data element. A command, or "not available" in an answer, has no value."""

    data_id: int
    value: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message, with the payload that its kind has.

    Attributes:
        receiver: LNAR.
        originator: LNAO.
        kind: bits 7-5 of ST.
        token: bits 4-0 of ST, echoed in answer and acknowledgement.
        database: DBADDR, 1..8 bytes.
        code: MC.
        ids: what a READ asks for.
        elements: what an ANSWER, WRITE or NOTICE carries.
        status: MS_Ack of an ACKNOWLEDGE.
        verdicts: (data id, Data_Ack) pairs of an ACKNOWLEDGE.
    """

    receiver: Address
    originator: Address
    kind: MessageKind
    database: bytes
    token: int = 0
    code: int = MessageCode.APPLICATION
    ids: tuple[int, ...] = ()
    elements: tuple[Element, ...] = ()
    status: int = MessageAck.OK
    verdicts: tuple[tuple[int, int], ...] = field(default=())

    def value(self, data_id: int) -> bytes | None:
        """The value of the first element with this id; None when the message has none."""
        for element in self.elements:
            if element.data_id == data_id:
                return element.value
        return None


_WITH_ELEMENTS = (MessageKind.ANSWER, MessageKind.WRITE, MessageKind.NOTICE, MessageKind.NOTICE_WITH_ACK)


def encode_message(message: Message) -> bytes:
    """The bytes of a message.

    Raises:
        MessageError: a database address, token, id or value that has no place in the format.
    """
    if not 1 <= len(message.database) <= 8:
        raise MessageError(f"a database address has 1..8 bytes, not {len(message.database)}")
    if not 0 <= message.token < _TOKENS:
        raise MessageError(f"token {message.token} is not in 0..31")
    body = bytearray((len(message.database),))
    body += message.database
    if message.kind is MessageKind.READ:
        body += bytes(message.ids)
    elif message.kind is MessageKind.ACKNOWLEDGE:
        body.append(message.status)
        for data_id, verdict in message.verdicts:
            body += bytes((data_id, verdict))
    else:
        for data_id, value in message.elements:
            body.append(data_id)
            if len(value) < _LONG:
                body.append(len(value))
            else:
                body.append(_LONG)
                body += len(value).to_bytes(2, "big")
            body += value
    if len(body) > 0xFFFF:
        raise MessageError(f"{len(body)} bytes do not fit one message")
    status = message.kind << 5 | message.token
    header = (*message.receiver, *message.originator, message.code, status)
    return bytes(header) + len(body).to_bytes(2, "big") + bytes(body)


def decode_message(raw: bytes) -> Message:
    """Read one message, header included.

    Raises:
        MessageError: it breaks off, or says what the format has no word for.
    """
    if len(raw) < HEADER_SIZE or len(raw) != HEADER_SIZE + int.from_bytes(raw[6:8], "big"):
        raise MessageError("the length in the header is not that of the message")
    if raw[4] not in set(MessageCode):
        raise MessageError(f"no message code {raw[4]}")
    if raw[5] >> 5 not in set(MessageKind):
        raise MessageError(f"no kind of message {raw[5] >> 5}")
    body = raw[HEADER_SIZE:]
    size = body[0] if body else 0
    if not 1 <= size <= 8 or len(body) < 1 + size:
        raise MessageError(f"a database address of {size} bytes")
    kind = MessageKind(raw[5] >> 5)
    data = body[1 + size :]
    ids: tuple[int, ...] = ()
    elements: tuple[Element, ...] = ()
    status = int(MessageAck.OK)
    verdicts: tuple[tuple[int, int], ...] = ()
    if kind is MessageKind.READ:
        ids = tuple(data)
    elif kind is MessageKind.ACKNOWLEDGE:
        if len(data) % 2 == 0:
            raise MessageError("an acknowledgement without status, or half a pair in it")
        status = data[0]
        verdicts = tuple(zip(data[1::2], data[2::2], strict=True))
    elif kind in _WITH_ELEMENTS:
        elements = _decode_elements(data)
    return Message(
        receiver=Address(raw[0], raw[1]),
        originator=Address(raw[2], raw[3]),
        code=raw[4],
        kind=kind,
        token=raw[5] & 0x1F,
        database=body[1 : 1 + size],
        ids=ids,
        elements=elements,
        status=status,
        verdicts=verdicts,
    )


def _decode_elements(data: bytes) -> tuple[Element, ...]:
    elements = []
    at = 0
    while at < len(data):
        start = at + 2
        if start > len(data):
            raise MessageError("an element without its length")
        size = data[at + 1]
        if size == _LONG:
            start += 2
            if start > len(data):
                raise MessageError("an element without its long length")
            size = int.from_bytes(data[start - 2 : start], "big")
        if start + size > len(data):
            raise MessageError(f"element {data[at]} says {size} bytes, {len(data) - start} are there")
        elements.append(Element(data[at], data[start : start + size]))
        at = start + size
    return tuple(elements)
