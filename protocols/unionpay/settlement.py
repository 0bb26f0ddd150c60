"""The settlement file of a clearing day (``fileType`` 00): the exchange that brings it, its packing, and its text.

The merchant asks ``filedownload.95516.com`` (``txnType`` 76, ``txnSubType`` 01) for a ``settleDate`` MMDD; the signed reply has
``fileName`` and ``fileContent``: base64 of zlib-deflated bytes of a zip (``deCodeFileContent`` in the official demonstration code;
the fields also in UnionPay's open API page 791). In the zip, ``INN<yyMMdd>88ZM_<merId>`` lists the day's transactions, and
``...ZME_...`` corrections, which are not read here. A missing file is answered 98.

A clearing day runs from 23:00 to 23:00 China time. A reader never guesses: a row that it cannot read is given back as a
`BadSettlementRow` with its line and column.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import io
import re
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from protocols.sansio import RemoteProtocolError
from protocols.unionpay.keys import MerchantCredentials
from protocols.unionpay.messages import BIZ_DEFAULT
from protocols.unionpay.settlement_rows import COLUMNS, ROW_BYTES, TAIL_AT, SettlementRow
from protocols.unionpay.signing import sign_request
from protocols.unionpay.wire import Fields

__all__ = [
    "MAX_FILE_BODY_BYTES",
    "NO_FILE",
    "BadSettlementRow",
    "Settlement",
    "SettlementFileError",
    "file_request",
    "pack_settlement",
    "read_settlement",
    "unpack_settlement",
    "write_settlement",
]

MAX_FILE_BODY_BYTES: Final = 4 * 1024 * 1024
"""A reply with a file: some 30,000 rows."""
NO_FILE: Final = "98"
"""``respCode``: there is no such file (the official demonstration code); that it also says "not yet" is unproven."""

_MAX_TEXT_BYTES: Final = 64 * 1024 * 1024
_MAX_MEMBERS: Final = 64
_NAME = re.compile(r"INN(\d{6})\d{2}ZM_([0-9A-Za-z]{15})", re.ASCII)


class SettlementFileError(RemoteProtocolError):
    """What came is no settlement file: not base64, not deflated, no zip, no ZM file of this merchant and day in it."""


@dataclass(frozen=True, slots=True)
class BadSettlementRow:
    """A row that cannot be read.

    Attributes:
        line: its number in the file, from 1.
        field: the column's title, or "" if the row as a whole is wrong.
        problem: what is wrong, for a person.
    """

    line: int
    field: str
    problem: str


@dataclass(frozen=True, slots=True)
class Settlement:
    """A file as it was read: (line, row) of what could be read, and what could not. It has no totals."""

    rows: Sequence[tuple[int, SettlementRow]]
    bad: Sequence[BadSettlementRow]


# The exchange


def file_request(
    own: MerchantCredentials, *, txn_time: str, settle_date: str, file_type: str = "00"
) -> Fields:
    """A signed request for a file. It has no ``orderId`` and no ``channelType`` (open API page 791).

    Args:
        own: the merchant.
        txn_time: of this request, ``yyyyMMddHHmmss``, China time.
        settle_date: the clearing day, ``MMDD``; that it means the last such day is the platform's choice.
        file_type: 00.
    """
    return sign_request(
        own,
        {
            "version": "5.1.0",
            "encoding": "UTF-8",
            "signMethod": "01",
            "txnType": "76",
            "txnSubType": "01",
            "bizType": BIZ_DEFAULT,
            "accessType": "0",
            "merId": own.mer_id,
            "txnTime": txn_time,
            "settleDate": settle_date,
            "fileType": file_type,
        },
    )


# Packing


def pack_settlement(content: bytes, *, mer_id: str, day: dt.date) -> Fields:
    """``fileName`` and ``fileContent`` of a reply. The same content gives the same bytes (no time of its own in the zip)."""
    inner = zipfile.ZipInfo(
        f"INN{day:%y%m%d}88ZM_{mer_id}", (max(day.year, 1980), day.month, day.day, 0, 0, 0)
    )
    inner.compress_type = zipfile.ZIP_DEFLATED
    inner.create_system = 3
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(inner, content)
    text = base64.b64encode(zlib.compress(packed.getvalue())).decode("ascii")
    return {"fileName": f"{mer_id}_{day:%Y%m%d}.zip", "fileContent": text}


def unpack_settlement(file_content: str, *, mer_id: str, day: dt.date) -> bytes:
    """The text of the ZM file in a reply's ``fileContent``.

    Args:
        file_content: as it came; the reply's signature was verified.
        mer_id: the merchant whose file it must be.
        day: the clearing day whose file it must be; ``settleDate`` has no year, the name in the zip has.

    Raises:
        SettlementFileError: it is none, it is damaged, another's, or larger than 64 MiB.
    """
    try:
        deflated = base64.b64decode(file_content, validate=True)
    except (binascii.Error, ValueError) as error:
        raise SettlementFileError(f"fileContent is not base64: {error}") from error
    opener = zlib.decompressobj()
    try:
        packed = opener.decompress(deflated, _MAX_TEXT_BYTES + 1)
    except zlib.error as error:
        raise SettlementFileError(f"fileContent is not deflated: {error}") from error
    if len(packed) > _MAX_TEXT_BYTES:
        raise SettlementFileError(f"the settlement file is larger than {_MAX_TEXT_BYTES} bytes")
    if not opener.eof:
        raise SettlementFileError("the deflated fileContent is cut off")
    try:
        with zipfile.ZipFile(io.BytesIO(packed)) as archive:
            return _member(archive, mer_id, day)
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        RuntimeError,
        ValueError,
        OSError,
    ) as error:
        raise SettlementFileError(f"fileContent holds no zip that can be read: {error}") from error


def _member(archive: zipfile.ZipFile, mer_id: str, day: dt.date) -> bytes:
    members = archive.infolist()
    if len(members) > _MAX_MEMBERS:
        raise SettlementFileError(f"the zip has {len(members)} files; at most {_MAX_MEMBERS} are looked at")
    named = [(info, _NAME.fullmatch(info.filename.rsplit("/", 1)[-1])) for info in members]
    found = [(info, name) for info, name in named if name is not None]
    if len(found) != 1:
        raise SettlementFileError(f"the zip has {len(found)} ZM files, not one")
    info, name = found[0]
    if name.groups() != (f"{day:%y%m%d}", mer_id):
        raise SettlementFileError(f"{info.filename[:60]} is not the file of {mer_id} for {day.isoformat()}")
    if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise SettlementFileError(
            f"{info.filename[:60]} is packed in a way that is not read here: {info.compress_type}"
        )
    with archive.open(info) as member:
        content = member.read(_MAX_TEXT_BYTES + 1)
        # Reading to the end checks the CRC.
        if len(content) > _MAX_TEXT_BYTES or member.read(1):
            raise SettlementFileError(f"the settlement file is larger than {_MAX_TEXT_BYTES} bytes")
    return content


# The text


def write_settlement(rows: Sequence[SettlementRow]) -> bytes:
    """The text of a ZM file: GBK, lines that end in CRLF.

    Raises:
        ValueError: a value is longer than its column.
    """
    return b"".join(_line(row) + b"\r\n" for row in rows)


def _line(row: SettlementRow) -> bytes:
    parts = []
    for column in COLUMNS:
        text = column.write(getattr(row, column.name)) if column.name else ""
        raw = text.encode("gbk", "replace")
        if len(raw) > column.width:
            raise ValueError(f"{column.title} has {column.width} bytes, {text[:60]!r} needs {len(raw)}")
        parts.append(raw.ljust(column.width))
    return b" ".join(parts)


def read_settlement(content: bytes) -> Settlement:
    """Read the text of a ZM file. Lines may end in CRLF or LF; empty ones are nothing."""
    rows: list[tuple[int, SettlementRow]] = []
    bad: list[BadSettlementRow] = []
    for at, raw in enumerate(content.split(b"\n"), 1):
        line = raw.removesuffix(b"\r")
        if not line.strip(b" "):
            continue
        found = _row(at, line)
        if isinstance(found, BadSettlementRow):
            bad.append(found)
        else:
            rows.append((at, found))
    return Settlement(tuple(rows), tuple(bad))


def _row(at: int, line: bytes) -> SettlementRow | BadSettlementRow:
    if len(line) < TAIL_AT - 1:
        return BadSettlementRow(at, "", f"{len(line)} bytes; such a row has {ROW_BYTES}")
    values: dict[str, Any] = {}
    start, separators = 0, set()
    for column in COLUMNS:
        end = start + column.width
        if start < TAIL_AT and column.number > 1:
            separators.add(line[start - 1])
        if column.name:
            try:
                values[column.name] = column.read(line[start:end].decode("gbk"))
            except UnicodeDecodeError:
                return BadSettlementRow(at, column.title, "not GBK")
            except ValueError as error:
                return BadSettlementRow(at, column.title, str(error))
        start = end + 1
    if len(separators) > 1:
        # A byte that is lost or added moves all columns behind it, and digits among digits still look well.
        return BadSettlementRow(at, "", "the bytes between its columns differ: something is lost or added")
    return SettlementRow(**values)
