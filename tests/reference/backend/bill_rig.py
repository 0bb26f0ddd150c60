"""Bills of the gateway by a writer of their own, and the books that they are compared with."""

from __future__ import annotations

import datetime as dt

from reference.backend.store.schema import ledger, payments, refunds

ADMIN_KEY = "admin-key-for-tests"
DAY = dt.date(2026, 1, 1)
# 2026-01-01 00:00 in Beijing; the fixtures' clock starts eight hours later.
DAY_US = 1_767_196_800_000_000
HOUR_US = 3_600_000_000

TRADE_HEAD = (
    "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,"
    "应结订单金额,代金券金额,微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,商品名称,商户数据包,"
    "手续费,费率,订单金额,申请退款金额,费率备注"
)
TRADE_END = "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额"
FUND_HEAD = "记账时间,微信支付业务单号,资金流水单号,业务名称,业务类型,收支类型,收支金额(元),账户结余(元),资金变更提交申请人,备注,业务凭证号"
FUND_END = "资金流水总笔数,收入笔数,收入金额,支出笔数,支出金额"


# A writer of its own: what a bill looks like, from samples, without the codec that is under test.


def yuan(fen):
    return f"{fen // 100}.{fen % 100:02d}"


def clock(at_us):
    begin = dt.datetime(1970, 1, 1, 8, tzinfo=dt.UTC)
    return (begin + dt.timedelta(microseconds=at_us)).strftime("%Y-%m-%d %H:%M:%S")


class Row(dict):
    """A payment or a refund, as both sides have it: ours and theirs differ by what a test changes afterwards."""

    def trade(self):
        refund = self["subject"] == "refund"
        values = [
            clock(self["at_us"]),
            self.get("appid", "wx0000000000000001"),
            self.get("mchid", "1900000001"),
            "0",
            "",
            self["of_theirs"] if refund else self["theirs"],
            self["of"] if refund else self["number"],
            "op-zhang",
            "JSAPI",
            "REFUND" if refund else "SUCCESS",
            "OTHERS",
            self.get("currency", "CNY"),
            "0.00" if refund else yuan(self["fen"]),
            "0.00",
            self["theirs"] if refund else "0",
            self["number"] if refund else "0",
            yuan(self["fen"]) if refund else "0.00",
            "0.00",
            "ORIGINAL" if refund else "",
            self.get("state", "SUCCESS") if refund else "",
            "成品油, 92号",
            "",
            "-0.00100" if refund else "0.00600",
            "0.60%",
            "0.00" if refund else yuan(self["fen"]),
            yuan(self["fen"]) if refund else "0.00",
            "",
        ]
        return ",".join(f"`{value}" for value in values)

    def fund(self):
        refund = self["subject"] == "refund"
        name = "退款" if refund else "交易"
        values = [clock(self["at_us"]), self["theirs"], "1", name, name, "支出" if refund else "收入"]
        values += [yuan(self["fen"]), "100.00", "1900000001API", "", self["number"]]
        return ",".join(f"`{value}" for value in values)


def trade_bill(rows, *, end=None, lines=None):
    paid = sum(row["fen"] for row in rows if row["subject"] == "payment")
    back = sum(row["fen"] for row in rows if row["subject"] == "refund")
    fee = sum(600 if row["subject"] == "payment" else -100 for row in rows)
    sign, fee = ("-" if fee < 0 else ""), abs(fee)
    sums = end or (
        f"`{len(rows)},`{yuan(paid)},`{yuan(back)},`0.00,`{sign}{fee // 100_000}.{fee % 100_000:05d},`{yuan(paid)},`{yuan(back)}"
    )
    body = lines if lines is not None else [row.trade() for row in rows]
    return "\n".join([TRADE_HEAD, *body, TRADE_END, sums, ""]).encode()


def fund_bill(rows, *, more=(), sums=None):
    came = [row["fen"] for row in rows if row["subject"] == "payment"]
    went = [row["fen"] for row in rows if row["subject"] == "refund"]
    sums = sums or f"`{len(rows)},`{len(came)},`{yuan(sum(came))},`{len(went)},`{yuan(sum(went))}"
    return "\n".join([FUND_HEAD, *(row.fund() for row in rows), *more, FUND_END, sums, ""]).encode()


# Books


def payment(number, fen=9600, at_us=DAY_US + 10 * HOUR_US):
    return Row(subject="payment", number=number, theirs=f"42{number}", fen=fen, at_us=at_us)


def refund(number, of, fen=100, at_us=DAY_US + 11 * HOUR_US):
    return Row(
        subject="refund",
        number=number,
        theirs=f"50{number}",
        of=of,
        of_theirs=f"42{of}",
        fen=fen,
        at_us=at_us,
    )


P = [payment(f"P{n}", 1000 + n) for n in range(8)]
R = [refund(f"R{n}", f"P{n}", 100 + n) for n in range(4)]


async def book(w, rows, *, state="SUCCESS", booked=True):
    """Enter them in the tables as they would stand there at the end of the day."""

    async def work(tx):
        for row in rows:
            common = {"order_id": f"ord_{row['number']}", "amount_fen": row["fen"], "state": state}
            if row["subject"] == "payment":
                await tx.insert(
                    payments,
                    common
                    | {
                        "out_trade_no": row["number"],
                        "openid": "zhang",
                        "is_open": None,
                        "transaction_id": row["theirs"] if state == "SUCCESS" else None,
                        "proof": "callback",
                        "queries": 0,
                        "expires_us": 0,
                        "created_us": row["at_us"],
                        "paid_us": row["at_us"] if state == "SUCCESS" else None,
                    },
                )
            else:
                await tx.insert(
                    refunds,
                    common
                    | {
                        "out_refund_no": row["number"],
                        "out_trade_no": row["of"],
                        "reason": row["number"],
                        "total_fen": row["fen"],
                        "attempt": 1,
                        "sent_us": row["at_us"],
                        "refund_id": row["theirs"],
                        "created_us": row["at_us"],
                        "updated_us": row["at_us"],
                    },
                )
            if booked and state == "SUCCESS":
                entry = {
                    "kind": row["subject"],
                    "entry_key": f"{row['subject']}/{row['number']}",
                    "station": "KM01",
                    "nozzle": 1,
                    "volume_ml": 0,
                    "amount_fen": row["fen"],
                    "content": "{}",
                    "instance": "test",
                    "recorded_us": row["at_us"],
                }
                await tx.insert(ledger, entry)

    await w.database.run(work)


async def compare(w, content, *, bill="trade", day=DAY):
    """Differences as (kind, subject, number, line), and how many rows matched."""
    await w.database.run(lambda tx: w.core.reconciliation.compare(tx, day, bill, content))
    shown = await w.admin(f"reconciliations/{day.isoformat()}?matched=true")
    rows = [row for row in shown["differences"] if row["bill"] == bill]
    (run,) = [run for run in shown["bills"] if run["bill"] == bill]
    differences = [
        (row["kind"], row["subject"], row["number"], row["line"]) for row in rows if row["kind"] != "matched"
    ]
    assert run["compared"] == len(rows)
    assert run["differences"] == len(differences)
    return differences, len(rows) - len(differences), run


async def alarms(w):
    return [alarm["kind"] for alarm in (await w.admin("alarms"))["rows"]]
