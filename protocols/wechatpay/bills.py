"""The merchant's daily bills: trades and fund flow as the platform's CSV, written by the gateway and read by the merchant.

A bill has a header row, one row for each payment or refund, a header of totals and a row of totals. Every value of a
row stands behind a backtick; amounts are in **yuan** with two decimals (everywhere else they are fen), fees have five,
times are Beijing time (WX-OAPI ``tradebill`` and ``fundflowbill``; the rows are those that public clients of the
real service keep as samples). The file may be gzipped; its SHA-1 comes with the link to it (whether of the file or of what is in it is not
documented, so the reader takes both).

A reader never guesses: a row that it cannot read is given back as a `BadRow` with its line and field.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from protocols.sansio import RemoteProtocolError
from protocols.wechatpay.bill_rows import (
    FUND,
    FUND_TOTALS,
    TRADE,
    TRADE_TOTALS,
    Column,
    FundRow,
    FundTotals,
    TradeRow,
    TradeTotals,
    fund_totals,
    trade_totals,
)

__all__ = [
    "BadRow",
    "Bill",
    "BillError",
    "pack_bill",
    "read_fund_bill",
    "read_trade_bill",
    "unpack_bill",
    "write_fund_bill",
    "write_trade_bill",
]

# A station has thousands of rows a day; a file beyond this is not a bill of ours.
MAX_BILL_BYTES: Final = 64 * 1024 * 1024


class BillError(RemoteProtocolError):
    """The file is not a bill at all: another hash, no gzip, not UTF-8, another header, no totals."""


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be read.

    Attributes:
        line: its number in the file, from 1.
        field: the column's name, or "" if the row has another number of columns.
        problem: what is wrong, for a person.
    """

    line: int
    field: str
    problem: str


R = TypeVar("R")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Bill(Generic[R, T]):
    """A bill as it was read.

    Attributes:
        rows: (line, row) of what could be read.
        bad: what could not.
        totals: the platform's own sums, or None if their row is bad.
    """

    rows: Sequence[tuple[int, R]]
    bad: Sequence[BadRow]
    totals: T | None = None


def _write(columns: Sequence[Column], row: object) -> str:
    return ",".join("`" + column.write(getattr(row, column.name)) for column in columns)


def _titles(columns: Sequence[Column]) -> str:
    return ",".join(column.title for column in columns)


def _file(lines: Iterable[str]) -> bytes:
    # A byte-order mark and CRLF, as spreadsheets like it; that every bill has them is unproven, so readers need neither.
    return ("\ufeff" + "".join(f"{line}\r\n" for line in lines)).encode()


def write_trade_bill(rows: Sequence[TradeRow], totals: TradeTotals | None = None) -> bytes:
    """A trade bill (``bill_type`` ALL). ``totals`` are the true ones unless others are to be told."""
    last = totals or trade_totals(rows)
    body = [_write(TRADE, row) for row in rows]
    return _file([_titles(TRADE), *body, _titles(TRADE_TOTALS), _write(TRADE_TOTALS, last)])


def write_fund_bill(rows: Sequence[FundRow], totals: FundTotals | None = None) -> bytes:
    """A fund bill. ``totals`` are the true ones unless others are to be told."""
    last = totals or fund_totals(rows)
    body = [_write(FUND, row) for row in rows]
    return _file([_titles(FUND), *body, _titles(FUND_TOTALS), _write(FUND_TOTALS, last)])


@dataclass
class _Reader(Generic[R, T]):
    columns: Sequence[Column]
    make: Callable[..., R]
    last_columns: Sequence[Column]
    make_last: Callable[..., T]
    bad: list[BadRow] = field(default_factory=list)

    def read(self, raw: bytes) -> Bill[R, T]:
        try:
            text = raw.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise BillError(f"the bill is not UTF-8 at byte {error.start}") from error
        # Empty lines are nothing; the numbers of the others are as an editor shows them.
        lines = [(at, line) for at, line in enumerate(re.split(r"\r?\n", text), 1) if line.strip()]
        if not lines or _plain(lines[0][1]) != _titles(self.columns):
            raise BillError(f"the bill's first row is not the header of such a bill: {_head(lines)}")
        ends = [index for index, (_, line) in enumerate(lines) if _plain(line) == _titles(self.last_columns)]
        if not ends:
            raise BillError("the bill has no totals: it is cut off")
        end = ends[0]
        rows = []
        for at, line in lines[1:end]:
            values = self._values(at, line, self.columns)
            if values is not None:
                rows.append((at, self.make(**values)))
        totals = None
        if len(lines) != end + 2:
            self.bad.append(BadRow(lines[end][0], "", f"{len(lines) - end - 1} rows of totals, not one"))
        else:
            values = self._values(*lines[end + 1], self.last_columns)
            totals = self.make_last(**values) if values is not None else None
        return Bill(tuple(rows), tuple(self.bad), totals)

    def _values(self, at: int, line: str, columns: Sequence[Column]) -> dict[str, Any] | None:
        # Free text may have commas and quotes, so the backtick is what separates.
        parts = line[1:].split(",`")
        if not line.startswith("`") or len(parts) != len(columns):
            what = f"{len(parts)} values" if line.startswith("`") else "no backtick before the first value"
            self.bad.append(BadRow(at, "", f"{what}; such a row has {len(columns)}"))
            return None
        values: dict[str, Any] = {}
        for column, part in zip(columns, parts, strict=True):
            try:
                values[column.name] = column.read(part)
            except ValueError as error:
                self.bad.append(BadRow(at, column.title, str(error)))
                return None
        return values


def _plain(line: str) -> str:
    """A header with the brackets that this module writes: older bills have the wide ones."""
    return line.strip().replace("（", "(").replace("）", ")")


def _head(lines: Sequence[tuple[int, str]]) -> str:
    return repr(lines[0][1][:60]) if lines else "it is empty"


def read_trade_bill(raw: bytes) -> Bill[TradeRow, TradeTotals]:
    """Read a trade bill of the type ALL.

    Raises:
        BillError: it is not one, or it is cut off.
    """
    return _Reader(TRADE, TradeRow, TRADE_TOTALS, TradeTotals).read(raw)


def read_fund_bill(raw: bytes) -> Bill[FundRow, FundTotals]:
    """Read a fund bill.

    Raises:
        BillError: it is not one, or it is cut off.
    """
    return _Reader(FUND, FundRow, FUND_TOTALS, FundTotals).read(raw)


def pack_bill(content: bytes, *, gzipped: bool) -> bytes:
    """The file as it is downloaded. The same content gives the same bytes (no time in the gzip header)."""
    if not gzipped:
        return content
    packer = zlib.compressobj(wbits=31)
    return packer.compress(content) + packer.flush()


def unpack_bill(file: bytes, *, sha1: str, gzipped: bool) -> bytes:
    """The bill in a downloaded file.

    Args:
        file: as it came.
        sha1: ``hash_value`` of the reply that gave the link, in hex.
        gzipped: whether ``tar_type`` GZIP was asked for.

    Raises:
        BillError: another hash, damaged, or larger than 64 MiB.
    """
    content = file
    if gzipped:
        opener = zlib.decompressobj(wbits=31)
        try:
            content = opener.decompress(file, MAX_BILL_BYTES + 1)
        except zlib.error as error:
            raise BillError(f"the bill is no gzip file: {error}") from error
        if not opener.eof and len(content) <= MAX_BILL_BYTES:
            raise BillError("the bill's gzip file is cut off")
    if len(content) > MAX_BILL_BYTES:
        raise BillError(f"the bill is larger than {MAX_BILL_BYTES} bytes")
    wanted = sha1.strip().lower()
    if wanted not in {_sha1(content), _sha1(file)}:
        raise BillError(f"the bill's SHA-1 is {_sha1(content)}, {wanted[:40]} was announced")
    return content


def _sha1(content: bytes) -> str:
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()
