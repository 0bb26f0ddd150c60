"""The settlement file: rows by a writer and a reader that share nothing with the codec, round trips, and everything that is no such file."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import datetime as dt
import io
import re
import zipfile
import zlib
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from protocols.sansio import RemoteProtocolError
from protocols.unionpay import (
    MAX_FILE_BODY_BYTES,
    BadSettlementRow,
    Endpoint,
    SettlementFileError,
    SettlementRow,
    check_fields,
    decode_reply,
    encode_reply,
    pack_settlement,
    read_settlement,
    shape_of,
    unpack_settlement,
    write_settlement,
)

MER_ID = "777290058110048"
DAY = dt.date(2026, 9, 21)
# The widths as the platform's demonstration code has them, copied as numbers; its cursor skips one byte between two of them.
WIDTHS = (
    3, 11, 11, 6, 10, 19, 12, 4, 2, 21, 2, 32, 2, 6, 10, 13, 13, 4, 15, 2, 2, 6, 2, 4, 32, 1, 21, 15, 1, 15, 32, 13, 13, 8, 32, 13,
    13, 12, 2, 1, 32, 98,
)  # fmt: skip
PAID = {
    1: "S22", 2: "00049992", 3: "00049992", 4: "123456", 5: "0921221320", 6: "621626*********0018", 7: "000000009600", 8: "5541",
    9: "08", 10: "622609212213201234567", 12: "KM0100000001", 13: "01", 16: "D000000000058", 17: "C000000009542", 18: "0001",
    20: "01", 21: "07", 22: "000000", 28: MER_ID, 35: "一号站 92号",
}  # fmt: skip
BACK = {
    **PAID, 1: "S30", 4: "123457", 7: "000000000600", 10: "622609212214001234577", 12: "KM0100000001R1", 14: "123456",
    15: "0921221320", 16: "C000000000000", 17: "D000000000600", 20: "04", 21: "00", 27: "622609212213201234567", 41: "KM0100000001",
}  # fmt: skip


def line(cells: dict[int, str], gap: bytes = b" ", widths: tuple[int, ...] = WIDTHS) -> bytes:
    return gap.join(cells.get(n, "").encode("gbk").ljust(width) for n, width in enumerate(widths, 1))


def cut(row: bytes) -> dict[int, str]:
    """The cursor of the demonstration code."""
    cells, left = {}, 0
    for number, width in enumerate(WIDTHS, 1):
        cells[number] = row[left : left + width].decode("gbk").rstrip()
        left += width + 1
    return cells


@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
@pytest.mark.parametrize("gap", [b" ", b"|", b"\t"])
@pytest.mark.parametrize("tail", [(32, 98), (131,), (32, 13, 2, 1, 12, 67)])
def test_rows_are_read_at_the_published_offsets_whatever_separates_and_follows_them(gap, end, tail):
    cells = {n: text for n, text in BACK.items() if n <= 40}
    rows = line(PAID, gap) + end + end + line(cells, gap, (*WIDTHS[:40], *tail)) + end
    file = read_settlement(rows)
    assert file.bad == ()
    (first, paid), (third, back) = file.rows
    assert (first, third) == (1, 3)
    assert (paid.order_id, paid.query_id, paid.amount_fen, paid.txn_type, paid.is_refund) == (
        "KM0100000001",
        "622609212213201234567",
        9600,
        "01",
        False,
    )
    assert (paid.fee_fen, paid.settle_fen, paid.mer_id, paid.trace_time) == (-58, 9542, MER_ID, "0921221320")
    assert (back.orig_query_id, back.amount_fen, back.settle_fen, back.is_refund) == (
        paid.query_id,
        600,
        -600,
        True,
    )


def test_what_is_written_stands_at_the_published_offsets():
    row = read_settlement(line(BACK)).rows[0][1]
    (written,) = write_settlement([row]).split(b"\r\n")[:-1]
    assert len(written) == 607
    named = {1, 4, 5, 6, 7, 10, 12, 13, 14, 15, 16, 17, 20, 21, 22, 27, 28, 41}
    assert {n: text for n, text in cut(written).items() if text} == {n: BACK[n] for n in named}
    # The offsets that a public merchant system reads at.
    for at, size, n in (
        (28, 6, 4),
        (66, 12, 7),
        (87, 21, 10),
        (112, 32, 12),
        (215, 2, 20),
        (271, 21, 27),
        (293, 15, 28),
    ):
        assert written[at : at + size].decode().rstrip() == BACK[n]  # fmt: skip


_ids = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=32)
_digits = st.text("0123456789", min_size=21, max_size=21)
_rows = st.builds(
    SettlementRow,
    trade_code=st.sampled_from(["S22", "S30"]),
    trace_no=st.text("0123456789", min_size=6, max_size=6),
    trace_time=st.text("0123456789", min_size=10, max_size=10),
    amount_fen=st.integers(0, 10**12 - 1),
    query_id=_digits,
    order_id=_ids,
    fee_fen=st.integers(1 - 10**12, 10**12 - 1),
    settle_fen=st.integers(1 - 10**12, 10**12 - 1),
    txn_type=st.sampled_from(["01", "04", "31", "03"]),
    orig_query_id=_digits | st.just(""),
    mer_id=st.text("0123456789", min_size=15, max_size=15),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(_rows, max_size=5))
def test_what_is_written_is_read(rows):
    file = read_settlement(write_settlement(rows))
    assert ([row for _, row in file.rows], file.bad) == (rows, ())


@pytest.mark.parametrize(
    ("cells", "field", "problem"),
    [
        ({7: "00000000960x"}, "交易金额", "12 digits"),
        ({7: ""}, "交易金额", "12 digits"),
        ({10: "1234"}, "查询流水号", "21 digits"),
        ({12: "KM-1"}, "商户订单号", "letters and digits"),
        ({12: ""}, "商户订单号", "letters and digits"),
        ({16: "X000000000058"}, "商户手续费", "C or D"),
        ({20: "1"}, "交易类型", "2 digits"),
        ({28: "77729005811004"}, "商户代码", "15 letters and digits"),
        ({5: "92122132"}, "交易传输时间", "MMDDhhmmss"),
        ({6: "62\x00"}, "帐号", "control characters"),
    ],
)
def test_a_row_that_cannot_be_read_is_given_back_with_its_line_and_column(cells, field, problem):
    file = read_settlement(b"\n".join([line(PAID), line({**PAID, **cells}), line(BACK), b""]))
    assert [at for at, _ in file.rows] == [1, 3]
    (bad,) = file.bad
    assert (bad.line, bad.field) == (2, field)
    assert problem in bad.problem


def test_bytes_that_are_no_gbk_are_told():
    (bad,) = read_settlement(line(PAID).replace(b"S22", b"S\xff2")).bad
    assert (bad.line, bad.field, bad.problem) == (1, "交易代码", "not GBK")


def test_a_byte_that_is_lost_or_added_anywhere_is_seen_or_changes_nothing_that_is_compared():
    whole = line({**BACK, 2: "00049992000", 3: "00049992000"})
    (_, true), *_ = read_settlement(whole).rows
    compared = ("order_id", "query_id", "orig_query_id", "amount_fen", "mer_id", "txn_type")
    for at in range(len(whole)):
        for changed in (whole[:at] + whole[at + 1 :], whole[:at] + b"0" + whole[at:]):
            for _, row in read_settlement(changed).rows:
                same = [getattr(row, name) == getattr(true, name) for name in compared]
                assert all(same), (at, row)


def test_every_cut_of_a_row_is_seen_or_leaves_all_that_is_compared():
    whole = line(BACK)
    for size in range(1, len(whole)):
        file = read_settlement(whole[:size])
        assert len(file.rows) + len(file.bad) <= 1
        if size < 475 and whole[:size].strip():
            assert isinstance(file.bad[0], BadSettlementRow)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=2_000))
@example(b"\x81" * 607)
@example(b" " * 606 + b"x")
def test_noise_is_never_an_error_of_ours(noise):
    file = read_settlement(noise)
    assert len(file.rows) + len(file.bad) <= noise.count(b"\n") + 1


def test_a_value_that_is_too_long_is_not_written():
    row = read_settlement(line(PAID)).rows[0][1]
    with pytest.raises(ValueError, match="商户订单号 has 32 bytes"):
        write_settlement([dataclasses.replace(row, order_id="x" * 33)])
    with pytest.raises(ValueError, match="交易金额 has 12 bytes"):
        write_settlement([dataclasses.replace(row, amount_fen=10**12)])


# The packing, by the standard library alone


def packed(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> str:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return base64.b64encode(zlib.compress(out.getvalue())).decode()


NAME = f"INN26092188ZM_{MER_ID}"


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
def test_a_file_as_the_platform_packs_it_is_unpacked(method):
    text = line(PAID) + b"\r\n"
    members = ((f"INN26092188ZME_{MER_ID}", b"not read"), (NAME, text), ("readme.txt", b""))
    assert unpack_settlement(packed(*members, method=method), mer_id=MER_ID, day=DAY) == text


def test_what_is_packed_can_be_opened_by_anybody():
    fields = pack_settlement(b"text\r\n", mer_id=MER_ID, day=DAY)
    assert fields["fileName"] == f"{MER_ID}_20260921.zip"
    archive = zipfile.ZipFile(io.BytesIO(zlib.decompress(base64.b64decode(fields["fileContent"]))))
    assert archive.namelist() == [NAME]
    assert re.fullmatch(r"INN\d{6}", archive.namelist()[0][:9])
    assert archive.read(NAME) == b"text\r\n"
    assert fields == pack_settlement(b"text\r\n", mer_id=MER_ID, day=DAY)


def damaged() -> str:
    raw = bytearray(zlib.decompress(base64.b64decode(packed((NAME, line(PAID)), method=zipfile.ZIP_STORED))))
    raw[raw.index(b"S22")] = ord("X")  # the CRC does not fit any more
    return base64.b64encode(zlib.compress(bytes(raw))).decode()


NO_FILES: dict[str, tuple[Any, str]] = {
    "empty": ("", "not deflated|cut off"),
    "not base64": ("a&b", "not base64"),
    "not deflated": (base64.b64encode(b"hello").decode(), "not deflated"),
    "deflated, cut off": (base64.b64encode(zlib.compress(b"x" * 999)[:-3]).decode(), "cut off"),
    "no zip": (base64.b64encode(zlib.compress(b"x" * 999)).decode(), "no zip"),
    "a zip, cut off": (base64.b64encode(zlib.compress(b"PK\x03\x04" + b"x" * 99)).decode(), "no zip"),
    "no ZM file": (packed(("readme.txt", b"")), "0 ZM files"),
    "two ZM files": (packed((NAME, b""), (f"INN26092288ZM_{MER_ID}", b"")), "2 ZM files"),
    "another's": (packed(("INN26092188ZM_777290058110049", b"")), "is not the file of 777290058110048"),
    "another day's": (packed((f"INN25092188ZM_{MER_ID}", b"")), "for 2026-09-21"),
    "a hundred files": (packed(*((f"f{n}", b"") for n in range(99))), "99 files"),
    "packed otherwise": (packed((NAME, b"x" * 99), method=zipfile.ZIP_LZMA), "in a way that is not read"),
    "damaged": (damaged(), "no zip that can be read"),
    "far too large": (packed((NAME, bytes(65 * 1024 * 1024))), "larger than"),
}


@pytest.mark.parametrize("name", NO_FILES)
def test_what_is_no_settlement_file_is_refused(name):
    content, problem = NO_FILES[name]
    with pytest.raises(SettlementFileError, match=problem):
        unpack_settlement(content, mer_id=MER_ID, day=DAY)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 400), st.integers(0, 255))
def test_no_single_damage_gives_another_text(at, value):
    raw = bytearray(zlib.decompress(base64.b64decode(packed((NAME, line(PAID))))))
    raw[at % len(raw)] = value
    content = base64.b64encode(zlib.compress(bytes(raw))).decode()
    with contextlib.suppress(SettlementFileError):
        assert unpack_settlement(content, mer_id=MER_ID, day=DAY) == line(PAID)


# The exchange


def test_only_its_own_url_takes_it_and_only_whole():
    asked = {"txnType": "76", "txnSubType": "01"}
    assert shape_of(asked, Endpoint.BACK) is None
    shape = shape_of(asked, Endpoint.FILE)
    assert shape is not None
    assert "orderId" not in shape.required
    fields = {
        **dict.fromkeys(shape.required, "0"),
        "version": "5.1.0",
        "encoding": "UTF-8",
        "signMethod": "01",
    }
    fields |= {"txnType": "76", "txnSubType": "01", "bizType": "000000", "merId": MER_ID}
    fields |= {"txnTime": "20260922091500", "settleDate": "0921", "fileType": "00"}
    assert check_fields(fields, shape) is None
    for name, bad, code in (("settleDate", "", "13"), ("settleDate", "1321", "10"), ("fileType", "0", "10")):
        fault = check_fields({**fields, name: bad}, shape)
        assert fault is not None
        assert (fault.code, fault.field) == (code, name)


def test_only_a_reply_with_a_file_may_be_large():
    body = encode_reply({"respCode": "00", "fileContent": "A" * 200_000 + "=="})
    with pytest.raises(RemoteProtocolError, match="at most 65536"):
        decode_reply(body)
    assert len(decode_reply(body, max_bytes=MAX_FILE_BODY_BYTES)["fileContent"]) == 200_002
    with pytest.raises(RemoteProtocolError, match="at most 4194304"):
        decode_reply(b"a=" + b"x" * MAX_FILE_BODY_BYTES, max_bytes=MAX_FILE_BODY_BYTES)
