"""Feie's cloud printers (飞鹅云打印), both sides: requests and replies, signatures, markup, and what comes out on paper."""

from __future__ import annotations

from protocols.feie.codes import (
    CONTENT_MOST_BYTES,
    PRINTERS_AT_ONCE,
    TIMES_MOST,
    Api,
    PrinterState,
    Ret,
    printer_state,
)
from protocols.feie.markup import (
    Mark,
    MarkupBuilder,
    Piece,
    QrPiece,
    TextPiece,
    TextStyle,
    parse_markup,
    safe_text,
)
from protocols.feie.messages import (
    PATH,
    PrinterLine,
    Reply,
    decode_form,
    encode_form,
    encode_reply,
    order_number,
    parse_printer_lines,
    parse_reply,
    signed_form,
)
from protocols.feie.paper import order_bytes
from protocols.feie.receipt import receipt_markup
from protocols.feie.signing import (
    callback_text,
    request_signature,
    sign_callback,
    signature_fits,
    verify_callback,
)

__all__ = [
    "CONTENT_MOST_BYTES",
    "PATH",
    "PRINTERS_AT_ONCE",
    "TIMES_MOST",
    "Api",
    "Mark",
    "MarkupBuilder",
    "Piece",
    "PrinterLine",
    "PrinterState",
    "QrPiece",
    "Reply",
    "Ret",
    "TextPiece",
    "TextStyle",
    "callback_text",
    "decode_form",
    "encode_form",
    "encode_reply",
    "order_bytes",
    "order_number",
    "parse_markup",
    "parse_printer_lines",
    "parse_reply",
    "printer_state",
    "receipt_markup",
    "request_signature",
    "safe_text",
    "sign_callback",
    "signature_fits",
    "signed_form",
    "verify_callback",
]
