"""The dispenser's side of the dispenser application: reads and writes in, answers and acknowledgements out.

Which data there are, who may write them and when, stands in `DATABASES`; what they hold is up to a `Store`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from .codes import DataAck, MessageAck, MessageCode, MessageKind
from .databases import DATABASES, Access, Database, DatabaseKind, Field, parse_database
from .message import Address, Element, Message
from .numbers import Number, NumberError, from_bcd
from .states import CONFIGURATION_STATES, READY_STATES, FpState

__all__ = ["Responder", "Store"]

DISPENSER_SUBNET: Final = 1
CONTROLLER_SUBNET: Final = 2
_ADD_RECIPIENT: Final = 11
_MASK, _MODE = 25, 33


class Store(Protocol):
    """What a dispenser holds, by database."""

    def expand(self, database: Database, raw: bytes) -> list[tuple[bytes, Database]] | None:
        """The databases behind an address (several for a group, possibly none); None when there is no such thing."""

    def state_for(self, database: Database) -> FpState:
        """The state that decides whether data of this database may be written."""

    def read(self, database: Database, data_id: int, now_us: int) -> bytes:
        """The value of a known data id; empty when it is not available."""

    def write(self, database: Database, field: Field, value: bytes, message: Message, now_us: int) -> DataAck:
        """Take a value that is well formed and allowed in this state, or a command, whatever the state is."""


class Responder:
    """Answers the requests of controlling devices.

    Args:
        own: the dispenser's address.
        store: its data.
        send: takes what is to be sent.
        warn: takes (rule, text, now_us) of deviations that are accepted.
    """

    def __init__(
        self,
        own: Address,
        store: Store,
        send: Callable[[Message], object],
        warn: Callable[[str, str, int], object],
    ) -> None:
        self.own = own
        self._store = store
        self._send = send
        self._warn = warn

    def handle(self, message: Message, now_us: int) -> None:
        """Act on a message and answer it. A message for another node is not answered."""
        if message.receiver != self.own:
            self._warn("ifsf-foreign-receiver", f"for {message.receiver}", now_us)
            return
        if message.originator.subnet not in {DISPENSER_SUBNET, CONTROLLER_SUBNET}:
            self._warn("ifsf-controller-subnet", f"from {message.originator}", now_us)
        if message.code == MessageCode.COMMUNICATION and message.value(_ADD_RECIPIENT) is not None:
            self._warn("ifsf-recipient-code-2", f"from {message.originator}", now_us)
        match message.kind:
            case MessageKind.READ:
                self._read(message, now_us)
            case MessageKind.WRITE:
                self._write(message, now_us)
            case MessageKind.NOTICE_WITH_ACK:
                self._acknowledge(message, MessageAck.OK)
            case _:
                pass  # nothing was asked

    # -- reading -------------------------------------------------------------------------------------------------

    def _read(self, message: Message, now_us: int) -> None:
        database = parse_database(message.database)
        found = None if database is None else self._store.expand(database, message.database)
        if database is None or found is None:
            self._acknowledge(message, MessageAck.UNKNOWN_DATABASE)
            return
        for raw, one in found:
            elements = tuple(Element(data_id, self._value(one, data_id, now_us)) for data_id in message.ids)
            self._reply(message, MessageKind.ANSWER, raw, elements=elements)
        if database.is_group:
            self._acknowledge(message, MessageAck.OK)

    def _value(self, database: Database, data_id: int, now_us: int) -> bytes:
        field = DATABASES[database.kind].get(data_id)
        if field is None or field.access in {Access.COMMAND, Access.NOTICE}:
            return b""
        return self._store.read(database, data_id, now_us)

    # -- writing -------------------------------------------------------------------------------------------------

    def _write(self, message: Message, now_us: int) -> None:
        database = parse_database(message.database)
        found = None if database is None else self._store.expand(database, message.database)
        if found is None:
            self._acknowledge(message, MessageAck.UNKNOWN_DATABASE)
            return
        if self._writes_mask_as_mode(message, found):
            self._warn("ifsf-mask-id", f"from {message.originator}", now_us)
        verdicts = []
        for data_id, value in message.elements:
            worst = DataAck.OK
            for _, one in found:
                worst = max(worst, self._take(one, data_id, value, message, now_us))
            verdicts.append((data_id, int(worst)))
        if any(verdict for _, verdict in verdicts):
            self._acknowledge(message, MessageAck.REFUSED_ELEMENTS, tuple(verdicts))
        else:
            self._acknowledge(message, MessageAck.OK)

    @staticmethod
    def _writes_mask_as_mode(message: Message, found: list[tuple[bytes, Database]]) -> bool:
        ids = [element.data_id for element in message.elements]
        return (
            any(one.kind is DatabaseKind.FUELLING_POINT for _, one in found)
            and _MODE in ids
            and _MASK not in ids
        )

    def _take(self, database: Database, data_id: int, value: bytes, message: Message, now_us: int) -> DataAck:
        field = DATABASES[database.kind].get(data_id)
        if field is None:
            return DataAck.NO_SUCH_DATA
        if field.access in {Access.READ, Access.NOTICE}:
            return DataAck.NOT_WRITABLE
        if not _well_formed(field, value):
            return DataAck.INVALID_VALUE
        state = self._store.state_for(database)
        if field.access is Access.CONFIGURATION and state not in CONFIGURATION_STATES:
            return DataAck.NOT_IN_THIS_STATE
        if field.access is Access.READY and state not in READY_STATES:
            return DataAck.NOT_IN_THIS_STATE
        return self._store.write(database, field, value, message, now_us)

    # -- replying ------------------------------------------------------------------------------------------------

    def _acknowledge(
        self, message: Message, status: MessageAck, verdicts: tuple[tuple[int, int], ...] = ()
    ) -> None:
        self._reply(message, MessageKind.ACKNOWLEDGE, message.database, status=status, verdicts=verdicts)

    def _reply(
        self,
        message: Message,
        kind: MessageKind,
        database: bytes,
        *,
        elements: tuple[Element, ...] = (),
        status: MessageAck = MessageAck.OK,
        verdicts: tuple[tuple[int, int], ...] = (),
    ) -> None:
        self._send(
            Message(
                receiver=message.originator,
                originator=self.own,
                kind=kind,
                token=message.token,
                database=database,
                elements=elements,
                status=status,
                verdicts=verdicts,
            )
        )


def _well_formed(field: Field, value: bytes) -> bool:
    if field.size is not None and len(value) != field.size:
        return False
    try:
        if field.form == "bcd":
            from_bcd(value)
        elif field.form == "number":
            Number.decode(value)
    except NumberError:
        return False
    return True
