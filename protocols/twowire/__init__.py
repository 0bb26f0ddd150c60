"""Gilbarco Two-Wire: the polled pump protocol, both sides, bytes to events and back.

`PumpSide` is a dispenser's end of the line, `ControllerSide` a controller's. Both are sans-IO machines in the shape of
`protocols.sansio`. What is taken for true, and on whose word, stands in `RULES`; the status cycle is `state_table`.
"""

from __future__ import annotations

from protocols.twowire.blocks import (
    NOZZLE_QUERY,
    GradeTotals,
    MoneyPreset,
    NozzleRecord,
    PriceChange,
    SentBlock,
    SpecialFunction,
    Totals,
    Transaction,
    UnknownBlock,
    VolumePreset,
)
from protocols.twowire.controller import (
    ControllerSide,
)
from protocols.twowire.controller_connection import (
    ControllerConnection,
)
from protocols.twowire.decoding import (
    BadBlock,
    BadReason,
    DeviationKind,
    Sent,
    decode_money,
    decode_nozzle_record,
    decode_sent,
    decode_totals,
    decode_transaction,
)
from protocols.twowire.events import (
    BadAnswer,
    BadData,
    BlockSent,
    BlockTaken,
    CommandSent,
    Deviation,
    Event,
    MoneyAnswer,
    NotReady,
    NozzleAnswer,
    ReplyTimeout,
    StatusAnswer,
    TotalsAnswer,
    TransactionAnswer,
    Unexpected,
    Wait,
)
from protocols.twowire.pump import (
    PumpSide,
)
from protocols.twowire.pump_connection import (
    SENT_WORDS_MAX,
    Head,
    PumpConnection,
)
from protocols.twowire.quirks import (
    Quirks,
)
from protocols.twowire.rules import (
    RULES,
)
from protocols.twowire.scale import (
    EIGHT_DIGITS,
    SIX_DIGITS,
    DigitModel,
    Scale,
)
from protocols.twowire.states import (
    STATUS_TABLE,
    StatusEvent,
    state_table,
    status_changes,
    statuses_after,
)
from protocols.twowire.timing import (
    DATA_MODE_US,
    REPLY_LIMIT_US,
    LineTiming,
)
from protocols.twowire.wire import (
    ALL_STOP,
    PUMP_LAST,
    Command,
    Status,
    Word,
    check_pump,
    command_byte,
    digit_words,
    length_word,
    lrc_word,
    read_digits,
    split_byte,
    status_byte,
)

__all__ = [
    "ALL_STOP",
    "DATA_MODE_US",
    "EIGHT_DIGITS",
    "NOZZLE_QUERY",
    "PUMP_LAST",
    "REPLY_LIMIT_US",
    "RULES",
    "SENT_WORDS_MAX",
    "SIX_DIGITS",
    "STATUS_TABLE",
    "BadAnswer",
    "BadBlock",
    "BadData",
    "BadReason",
    "BlockSent",
    "BlockTaken",
    "Command",
    "CommandSent",
    "ControllerConnection",
    "ControllerSide",
    "Deviation",
    "DeviationKind",
    "DigitModel",
    "Event",
    "GradeTotals",
    "Head",
    "LineTiming",
    "MoneyAnswer",
    "MoneyPreset",
    "NotReady",
    "NozzleAnswer",
    "NozzleRecord",
    "PriceChange",
    "PumpConnection",
    "PumpSide",
    "Quirks",
    "ReplyTimeout",
    "Scale",
    "Sent",
    "SentBlock",
    "SpecialFunction",
    "Status",
    "StatusAnswer",
    "StatusEvent",
    "Totals",
    "TotalsAnswer",
    "Transaction",
    "TransactionAnswer",
    "Unexpected",
    "UnknownBlock",
    "VolumePreset",
    "Wait",
    "Word",
    "check_pump",
    "command_byte",
    "decode_money",
    "decode_nozzle_record",
    "decode_sent",
    "decode_totals",
    "decode_transaction",
    "digit_words",
    "length_word",
    "lrc_word",
    "read_digits",
    "split_byte",
    "state_table",
    "status_byte",
    "status_changes",
    "statuses_after",
]
