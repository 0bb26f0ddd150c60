"""Command byte and body to message. Never raises: what cannot be read is a message as well."""

from __future__ import annotations

from typing import Final

from protocols.aaff.answers import (
    AuthoriseReply,
    BriefSale,
    Live,
    Nothing,
    NotUnderstood,
    OtherRecord,
    ParameterReply,
    PumpMessage,
    RecordAcked,
    Result,
    Sale,
    Status,
    Totals,
)
from protocols.aaff.commands import Command, Malformed, Raw
from protocols.aaff.questions import (
    Authorise,
    BriefAck,
    Fetch,
    MasterMessage,
    Parameter,
    Poll,
    Prices,
    ReadParameter,
    RecordAck,
    ShortPoll,
    Stop,
    TotalsRequest,
    WriteParameter,
)
from protocols.aaff.records import LiveRecord, SaleRecord
from protocols.bcd import decode_bcd

__all__ = ["decode_from_master", "decode_from_pump"]

_POLL_BYTES: Final = 16
_PARAMETER_BYTES: Final = 9
_OTHER_BYTES: Final = {Command.SHIFT: 53, Command.ALARM: 21}


def decode_from_master(command: int, body: bytes) -> MasterMessage:  # noqa: C901 - one line for each command
    """What a body to a dispenser says. Never raises: what cannot be read is `Malformed`, what is unknown `Raw`."""
    match command:
        case Command.POLL:
            return _poll(body)
        case Command.RECORD_ACK | Command.FETCH:
            uid = decode_bcd(body[3:9]) if len(body) == 9 else None
            if uid is None:
                return Malformed(
                    command, body, "a record type, two spare bytes and a UID of 12 digits were expected"
                )
            kind = RecordAck if command == Command.RECORD_ACK else Fetch
            return kind(uid, body[0], body[1:3])
        case Command.AUTHORISE:
            value = decode_bcd(body[1:]) if len(body) == 7 else None
            if value is None:
                return Malformed(command, body, "a type and a value of 12 digits were expected")
            return Authorise(body[0], value)
        case Command.TOTALS:
            return TotalsRequest(body)
        case Command.STOP:
            return Stop(body)
        case Command.BRIEF_SALE:
            return BriefAck(body)
        case Command.PRICES:
            parameters = [_parameter(body[at : at + 9]) for at in range(0, len(body), _PARAMETER_BYTES)]
            whole = [parameter for parameter in parameters if parameter is not None]
            if not whole or len(whole) != len(parameters):
                return Malformed(command, body, "whole parameters of nine bytes were expected")
            return Prices(tuple(whole))
        case Command.WRITE_PARAMETER | Command.READ_PARAMETER:
            parameter = _parameter(body[:9])
            if parameter is None:
                return Malformed(
                    command, body, "decimals, an index of 4 digits and a value of 12 were expected"
                )
            write = command == Command.WRITE_PARAMETER
            return WriteParameter(parameter, body[9:]) if write else ReadParameter(parameter, body[9:])
        case _:
            return Raw(command, body)


def decode_from_pump(command: int, body: bytes) -> PumpMessage:  # noqa: C901 - one case for each command
    """What a body from a dispenser says. Never raises: what cannot be read is `Malformed`, what is unknown `Raw`."""
    match command:
        case Command.POLL:
            return Nothing() if not body else Malformed(command, body, "an empty body was expected")
        case Command.NOT_UNDERSTOOD:
            return NotUnderstood() if not body else Malformed(command, body, "an empty body was expected")
        case Command.RECORD_ACK:
            return RecordAcked() if not body else Malformed(command, body, "an empty body was expected")
        case Command.STATUS:
            unpaid = decode_bcd(body[1:3]) if len(body) >= 3 else None
            if unpaid is None:
                return Malformed(command, body, "a state and a count of 4 digits were expected")
            return Status(body[0], unpaid, body[3:])
        case Command.SALE:
            sale = SaleRecord.decode(body)
            return Malformed(command, body, sale) if isinstance(sale, str) else Sale(sale)
        case Command.LIVE:
            live = LiveRecord.decode(body)
            return Malformed(command, body, live) if isinstance(live, str) else Live(live)
        case Command.SHIFT | Command.ALARM:
            uid = decode_bcd(body[:6]) if len(body) == _OTHER_BYTES[Command(command)] else None
            if uid is None:
                return Malformed(
                    command, body, f"{_OTHER_BYTES[Command(command)]} bytes, UID first, were expected"
                )
            return OtherRecord(command, uid, body[6:])
        case Command.AUTHORISE:
            value = decode_bcd(body[2:]) if len(body) == 8 else None
            if value is None:
                return Malformed(command, body, "a result, a type and a value of 12 digits were expected")
            return AuthoriseReply(body[0], body[1], value)
        case Command.TOTALS | Command.BRIEF_SALE:
            numbers = [decode_bcd(body[at : at + 6]) for at in (0, 6, 12)] if len(body) == 18 else [None]
            if len(whole := [number for number in numbers if number is not None]) != 3:
                return Malformed(command, body, "UID, volume and amount of 12 digits each were expected")
            return Totals(*whole) if command == Command.TOTALS else BriefSale(*whole)
        case Command.STOP | Command.PRICES:
            if not body:
                return Malformed(command, body, "a result was expected")
            return Result(command, body[0], body[1:])
        case Command.WRITE_PARAMETER | Command.READ_PARAMETER:
            index, value = decode_bcd(body[:2]), decode_bcd(body[2:])
            if len(body) != 8 or index is None or value is None:
                return Malformed(command, body, "an index of 4 digits and a value of 12 were expected")
            return ParameterReply(command, index, value)
        case _:
            return Raw(command, body)


def _poll(body: bytes) -> MasterMessage:
    if len(body) == _POLL_BYTES:
        return Poll(
            time=body[:6], fs_state=body[6], read_unpaid=body[7], mode=body[8], pay=body[9], spare=body[10:]
        )
    if len(body) > _POLL_BYTES:
        return Malformed(Command.POLL, body, f"a poll has at most {_POLL_BYTES} bytes")
    return ShortPoll(body[0], body[1:]) if body else ShortPoll(None)


def _parameter(data: bytes) -> Parameter | None:
    index, value = decode_bcd(data[1:3]), decode_bcd(data[3:])
    if len(data) != _PARAMETER_BYTES or index is None or value is None:
        return None
    return Parameter(index, value, data[0])
