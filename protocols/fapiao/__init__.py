"""The fuel e-invoice: WeChat's refined-oil endpoint, the 20-digit number, and arithmetic without floats."""

from __future__ import annotations

from protocols.fapiao.arithmetic import (
    FUEL_TAX_RATE_E4,
    QUANTITY_PER_ML,
    QUANTITY_SCALE,
    LineFigures,
    line_from_price,
    line_from_quantity,
    line_problems,
    quantity_of_ml,
    split_gross,
)
from protocols.fapiao.number import FapiaoNumber
from protocols.fapiao.replies import FapiaoNotice, FapiaoReport, read_notice, read_query
from protocols.fapiao.shapes import (
    APPLICATIONS_PATH,
    DIESEL_TAX_CODE,
    EVENT_ISSUED,
    EVENT_REVERSED,
    FUEL_TAX_CODES,
    ISSUE_PATH,
    LITRES_PER_TON,
    MAX_TRIES,
    PETROL_TAX_CODE,
    REVERSE_REASONS,
    Buyer,
    FuelLine,
    IssueRequest,
    parse_issue_request,
    parse_reverse_request,
)
from protocols.fapiao.states import FAPIAO_MOVES, FapiaoEvent, FapiaoState, move_fapiao

__all__ = [
    "APPLICATIONS_PATH",
    "DIESEL_TAX_CODE",
    "EVENT_ISSUED",
    "EVENT_REVERSED",
    "FAPIAO_MOVES",
    "FUEL_TAX_CODES",
    "FUEL_TAX_RATE_E4",
    "ISSUE_PATH",
    "LITRES_PER_TON",
    "MAX_TRIES",
    "PETROL_TAX_CODE",
    "QUANTITY_PER_ML",
    "QUANTITY_SCALE",
    "REVERSE_REASONS",
    "Buyer",
    "FapiaoEvent",
    "FapiaoNotice",
    "FapiaoNumber",
    "FapiaoReport",
    "FapiaoState",
    "FuelLine",
    "IssueRequest",
    "LineFigures",
    "line_from_price",
    "line_from_quantity",
    "line_problems",
    "move_fapiao",
    "parse_issue_request",
    "parse_reverse_request",
    "quantity_of_ml",
    "read_notice",
    "read_query",
    "split_gross",
]
