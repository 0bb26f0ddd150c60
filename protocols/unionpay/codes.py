"""Response codes as data: text, class, what a merchant does about them, and how well each is attested."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from protocols.unionpay.code_table import ROWS

__all__ = [
    "CODES",
    "CodeClass",
    "Outcome",
    "ResponseCode",
    "band_of",
    "code_table",
    "outcome_of_reply",
    "outcome_of_trade",
    "response_code",
]


class CodeClass(StrEnum):
    """Bands of codes (appendix of the platform interface specification, as demonstration codes quote it)."""

    SUCCESS = "success"
    UNIONPAY = "unionpay"
    MESSAGE = "message"
    MERCHANT = "merchant"
    HOLDER = "holder"
    OTHER = "other"


class Outcome(StrEnum):
    """What a merchant may conclude about the money.

    ``SUCCESS``: it moved. ``ACCEPTED``: the request was taken, nothing more; wait for the notice or query. ``UNKNOWN``:
    query, and reverse if it stays so. ``REFUSED``: it did not move and will not.
    """

    SUCCESS = "success"
    ACCEPTED = "accepted"
    UNKNOWN = "unknown"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class ResponseCode:
    """One code.

    Attributes:
        code: two characters.
        text: the platform's own words, without the ``[…]`` reason that it appends.
        code_class: the band.
        outcome: of a trade whose (original) response code this is.
        sources: how many independent public sources list it; 0 marks this project's own reading.
        note: why the outcome differs from its band's, or empty.
    """

    code: str
    text: str
    code_class: CodeClass
    outcome: Outcome
    sources: int
    note: str = ""


def band_of(code: str) -> CodeClass:
    """The class of any code, listed or not: 00 and A6 success, 01-09 UnionPay, 10-29 message, 30-59 merchant, 60-89 holder."""
    if code in {"00", "A6"}:
        return CodeClass.SUCCESS
    if len(code) == 2 and code.isascii() and code.isdigit():
        number = int(code)
        for above, code_class in (
            (10, CodeClass.UNIONPAY),
            (30, CodeClass.MESSAGE),
            (60, CodeClass.MERCHANT),
            (90, CodeClass.HOLDER),
        ):
            if number < above:
                return code_class
    return CodeClass.OTHER


_OF_CLASS: Final = {
    CodeClass.SUCCESS: Outcome.SUCCESS,
    CodeClass.UNIONPAY: Outcome.UNKNOWN,
    CodeClass.MESSAGE: Outcome.REFUSED,
    CodeClass.MERCHANT: Outcome.REFUSED,
    CodeClass.HOLDER: Outcome.REFUSED,
    # 90-99 are mixed and other shapes unheard of: what is not understood is not called failed.
    CodeClass.OTHER: Outcome.UNKNOWN,
}
_UNKNOWN: Final = {
    "12": "the same order was sent before: what became of that one is what counts",
    "37": "too many queries say nothing about the trade",
    "42": "money was taken after the order's time: find out and give it back",
    "60": "the issuer's answer was not clear; official code queries",
    "70": "the holder is still typing",
    "74": "money was taken, booking unknown",
    "75": "money was taken, booking failed",
    "83": "the issuer is still at it",
}


def _row(code: str, text: str, sources: int) -> ResponseCode:
    code_class = band_of(code)
    outcome = Outcome.UNKNOWN if code in _UNKNOWN else _OF_CLASS[code_class]
    return ResponseCode(code, text, code_class, outcome, sources, _UNKNOWN.get(code, ""))


CODES: Final = MappingProxyType({code: _row(code, text, sources) for code, text, sources in ROWS})
"""All known codes."""


def response_code(code: str) -> ResponseCode:
    """The row of a code; one that is not listed gets its band's outcome and no source."""
    return CODES.get(code) or _row(code[:8], "", 0)


def outcome_of_trade(code: str) -> Outcome:
    """What ``origRespCode`` of a query, or ``respCode`` of a notice, says about the trade."""
    return response_code(code).outcome


def outcome_of_reply(code: str) -> Outcome:
    """What ``respCode`` of the immediate reply to a back request says: a success there only means *accepted*.

    The official demonstration code: "accepted (does not mean that the trade succeeded), wait for the notice or query".
    """
    outcome = outcome_of_trade(code)
    return Outcome.ACCEPTED if outcome is Outcome.SUCCESS else outcome


def code_table() -> list[dict[str, object]]:
    """The table as plain data."""
    return [
        {
            "code": row.code,
            "text": row.text,
            "class": str(row.code_class),
            "outcome": str(row.outcome),
            "sources": row.sources,
            "note": row.note,
        }
        for row in CODES.values()
    ]
