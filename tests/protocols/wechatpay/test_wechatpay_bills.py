"""Bills: samples as the real service writes them, round trips, and everything that is not a bill."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.wechatpay import (
    BadRow,
    BillError,
    FundRow,
    FundTotals,
    TradeRow,
    TradeTotals,
    pack_bill,
    read_fund_bill,
    read_trade_bill,
    unpack_bill,
    write_fund_bill,
    write_trade_bill,
)

HEAD = (
    "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,"
    "应结订单金额,代金券金额,微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,商品名称,商户数据包,"
    "手续费,费率,订单金额,申请退款金额,费率备注"
)
TOTALS = "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额"
PAID = (
    "`2024-07-09 10:06:33,`wx01,`1900000001,`0,`,`4200002360202407091150650780,`PAY1,`op1,`JSAPI,`SUCCESS,`OTHERS,`CNY,"
    '`60.00,`0.00,`0,`0,`0.00,`0.00,`,`,`92号汽油, 一号站,`{"a":"1","b":"2"},`0.32000,`0.54%,`60.00,`0.00,`'
)
BACK = (
    "`2024-07-09 16:47:58,`wx01,`1900000001,`0,`,`4200002166202406250324636876,`PAY0,`op1,`JSAPI,`REFUND,`OTHERS,`CNY,"
    "`0.00,`0.00,`50302709992024070991956632208,`BACK1,`50.00,`0.00,`ORIGINAL,`SUCCESS,`油,`,`-0.27000,`0.54%,`0.00,"
    "`50.00,`"
)
SUMS = "`2,`60.00,`50.00,`0.00,`0.05000,`60.00,`50.00"
FUND_HEAD = "记账时间,微信支付业务单号,资金流水单号,业务名称,业务类型,收支类型,收支金额(元),账户结余(元),资金变更提交申请人,备注,业务凭证号"
FUND_TOTALS = "资金流水总笔数,收入笔数,收入金额,支出笔数,支出金额"
FUND = (
    "`2021-02-01 13:54:01,`50300806962021020105978994968,`4200000920202101197964319284,`退款,`退款,`支出,`0.01,`0.22,"
    "`1900000001API,`退款总金额0.01元;含手续费0.00元,`BACK1"
)


def file(*lines: str, end: str = "\n") -> bytes:
    return "".join(line + end for line in lines).encode()


@pytest.mark.parametrize("mark", [b"", "\ufeff".encode()])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_bill_as_the_service_writes_it_is_read(mark, end):
    bill = read_trade_bill(mark + file(HEAD, PAID, BACK, TOTALS, SUMS, end=end))
    assert bill.bad == ()
    (first_line, paid), (second_line, back) = bill.rows
    assert (first_line, second_line) == (2, 3)
    assert (paid.at_unix_s, paid.total_fen, paid.fee_e5, paid.is_refund) == (1720490793, 6000, 32000, False)
    assert (paid.description, paid.attach) == ("92号汽油, 一号站", '{"a":"1","b":"2"}')
    assert (back.refund_fen, back.asked_refund_fen, back.fee_e5, back.is_refund) == (5000, 5000, -27000, True)
    assert (back.out_refund_no, back.refund_state) == ("BACK1", "SUCCESS")
    assert bill.totals == TradeTotals(2, 6000, 5000, 0, 5000, 6000, 5000)


def test_what_is_written_is_what_the_service_writes():
    read = read_trade_bill(file(HEAD, PAID, BACK, TOTALS, SUMS))
    written = write_trade_bill([row for _, row in read.rows])
    assert written.decode("utf-8-sig") == file(HEAD, PAID, BACK, TOTALS, SUMS, end="\r\n").decode()


@pytest.mark.parametrize("head", [FUND_HEAD, FUND_HEAD.replace("(", "（").replace(")", "）")])
def test_a_fund_bill_is_read_and_written(head):
    bill = read_fund_bill(file(head, FUND, FUND_TOTALS, "`1.0,`0.0,`0.00,`1,`0.01"))
    ((line, row),) = bill.rows
    assert (line, row.amount_fen, row.balance_fen, row.is_income, row.voucher) == (2, 1, 22, False, "BACK1")
    assert bill.totals == FundTotals(1, 0, 0, 1, 1)
    again = write_fund_bill([row]).decode("utf-8-sig").splitlines()
    assert again[:3] == [FUND_HEAD, FUND, FUND_TOTALS]
    assert read_fund_bill(write_fund_bill([row])).totals == bill.totals


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("`60.00,`0.00,`0,", "`60.0,`0.00,`0,", "应结订单金额"),
        ("`60.00,`0.00,`0,", "`+60.00,`0.00,`0,", "应结订单金额"),
        ("`60.00,`0.00,`0,", "`1e2,`0.00,`0,", "应结订单金额"),
        ("`60.00,`0.00,`0,", "`６0.00,`0.00,`0,", "应结订单金额"),
        ("`0.32000", "`0.32", "手续费"),
        ("`SUCCESS", "`PAID", "交易状态"),
        ("2024-07-09 10", "2024-07-32 10", "交易时间"),
        ("`wx01", "`wx\x0001", "公众账号ID"),
        ("`wx01,", "", ""),
        ("`2024", "2024", ""),
        ("`PAY1,", "`PAY1,`PAY1,", ""),
    ],
)
def test_a_row_that_cannot_be_read_is_told_with_its_line_and_field(old, new, field):
    bill = read_trade_bill(file(HEAD, BACK, PAID.replace(old, new, 1), TOTALS, SUMS))
    ((line, row),) = bill.rows
    assert (line, row.out_refund_no) == (2, "BACK1")
    (bad,) = bill.bad
    assert (bad.line, bad.field) == (3, field)
    assert bad.problem


def test_totals_that_cannot_be_read_are_told_too():
    bill = read_trade_bill(file(HEAD, PAID, TOTALS, SUMS.replace("`2,", "`two,")))
    assert bill.totals is None
    assert bill.bad == (BadRow(4, "总交易单数", "'two' is not a number of rows"),)
    assert [bad.line for bad in read_trade_bill(file(HEAD, PAID, TOTALS, SUMS, PAID)).bad] == [3]


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "it is empty"),
        (b"\xff\xfe", "not UTF-8 at byte 0"),
        (b'{"code":"NO_STATEMENT_EXIST"}', "not the header"),
        (file(HEAD, PAID), "cut off"),
        (file(FUND_HEAD, FUND, FUND_TOTALS, "`1,`0,`0.00,`1,`0.01"), "not the header"),
    ],
)
def test_what_is_no_bill_is_refused_whole(raw, words):
    with pytest.raises(BillError, match=words):
        read_trade_bill(raw)


def test_packed_and_unpacked():
    content = file(HEAD, PAID, TOTALS, SUMS)
    sha1 = hashlib.sha1(content).hexdigest()
    for gzipped in (False, True):
        packed = pack_bill(content, gzipped=gzipped)
        assert unpack_bill(packed, sha1=sha1.upper(), gzipped=gzipped) == content
        with pytest.raises(BillError, match="SHA-1"):
            unpack_bill(packed, sha1="0" * 40, gzipped=gzipped)
    packed = pack_bill(content, gzipped=True)
    assert gzip.decompress(packed) == content
    assert unpack_bill(gzip.compress(content), sha1=sha1, gzipped=True) == content
    assert unpack_bill(packed, sha1=hashlib.sha1(packed).hexdigest(), gzipped=True) == content
    with pytest.raises(BillError, match="cut off"):
        unpack_bill(packed[:-9], sha1=sha1, gzipped=True)
    with pytest.raises(BillError, match="no gzip"):
        unpack_bill(content, sha1=sha1, gzipped=True)


def test_a_bill_that_would_fill_the_memory_is_refused():
    bomb = pack_bill(bytes(65 * 1024 * 1024), gzipped=True)
    assert len(bomb) < 100_000
    with pytest.raises(BillError, match="larger than"):
        unpack_bill(bomb, sha1="0" * 40, gzipped=True)


TEXT = st.text(
    st.characters(exclude_characters="`", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=12
)
FEN = st.integers(-(10**12), 10**12)


def built(kind, **fixed):
    made = {name: {"int": FEN, "str": TEXT}[item.type] for name, item in kind.__dataclass_fields__.items()}
    return st.builds(kind, **(made | {"at_unix_s": st.integers(0, 4_000_000_000)} | fixed))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.lists(built(TradeRow, trade_state=st.sampled_from(["SUCCESS", "REFUND", "REVOKED"])), max_size=4),
    st.lists(built(FundRow, direction=st.sampled_from(["收入", "支出"])), max_size=4),
)
def test_whatever_is_written_is_read_back(trades, funds):
    for rows, write, read in (
        (trades, write_trade_bill, read_trade_bill),
        (funds, write_fund_bill, read_fund_bill),
    ):
        bill = read(write(rows))
        assert bill.bad == ()
        assert [row for _, row in bill.rows] == rows
        assert bill.totals is not None


def test_text_that_would_break_a_row_is_made_harmless():
    row = dataclasses.replace(read_trade_bill(file(HEAD, PAID, TOTALS, SUMS)).rows[0][1], attach="a\n`b,`c")
    ((_, read),) = read_trade_bill(write_trade_bill([row])).rows
    assert read.attach == "a  b, c"
