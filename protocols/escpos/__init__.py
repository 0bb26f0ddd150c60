"""ESC/POS, both sides: the controller builds receipts and reads status, the printer parses streams and writes status.

Spoolers need `status_query`, `decode_status`, `ReceiptContent`, `receipt_bytes`, `completion_query` and `decode_completion`.
"""

from __future__ import annotations

from protocols.escpos.builder import Align, ReceiptBuilder
from protocols.escpos.chinese import GbDecoder, clip_columns, encode_text, text_columns
from protocols.escpos.commands import Command, Op
from protocols.escpos.enpc import (
    ENPC_PORT,
    EnpcFunction,
    EnpcRequest,
    EnpcResult,
    enpc_reply,
    enpc_request,
    read_enpc_reply,
    read_enpc_request,
)
from protocols.escpos.parser import MAX_DATA_BYTES, MAX_TEXT_BYTES, StreamParser
from protocols.escpos.realtime import RealTimeCommand, RealTimeScanner
from protocols.escpos.receipt import (
    PrintedFacts,
    ReceiptContent,
    mask_card,
    mask_phone,
    read_receipt,
    receipt_bytes,
    receipt_sections,
)
from protocols.escpos.status import (
    STATUS_REPLY_BYTES,
    PrinterCondition,
    PrinterStatus,
    asb_bytes,
    asb_items,
    completion_query,
    decode_asb,
    decode_completion,
    decode_status,
    dle_eot_byte,
    gs_r_byte,
    status_query,
)
from protocols.escpos.symbology import Symbology, symbology_of

__all__ = [
    "ENPC_PORT",
    "MAX_DATA_BYTES",
    "MAX_TEXT_BYTES",
    "STATUS_REPLY_BYTES",
    "Align",
    "Command",
    "EnpcFunction",
    "EnpcRequest",
    "EnpcResult",
    "GbDecoder",
    "Op",
    "PrintedFacts",
    "PrinterCondition",
    "PrinterStatus",
    "RealTimeCommand",
    "RealTimeScanner",
    "ReceiptBuilder",
    "ReceiptContent",
    "StreamParser",
    "Symbology",
    "asb_bytes",
    "asb_items",
    "clip_columns",
    "completion_query",
    "decode_asb",
    "decode_completion",
    "decode_status",
    "dle_eot_byte",
    "encode_text",
    "enpc_reply",
    "enpc_request",
    "gs_r_byte",
    "mask_card",
    "mask_phone",
    "read_enpc_reply",
    "read_enpc_request",
    "read_receipt",
    "receipt_bytes",
    "receipt_sections",
    "status_query",
    "symbology_of",
    "text_columns",
]
