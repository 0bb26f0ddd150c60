from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx
import msgspec
import pytest

from protocols.fapiao import (
    DIESEL_TAX_CODE,
    ISSUE_PATH,
    PETROL_TAX_CODE,
    QUANTITY_SCALE,
    Buyer,
    FapiaoNumber,
    FapiaoReport,
    FapiaoState,
    FuelLine,
    IssueRequest,
    LineFigures,
    line_problems,
    quantity_of_ml,
    read_notice,
    read_query,
)
from protocols.wechatpay import ApiError
from sim.faults import FaultError
from sim.kernel import VirtualKernel
from sim.latency import LatencyProfile
from sim.taxplatform import ISSUE_LATENCY, Seller, TaxFault, TaxPlatform

EPOCH_US = 1_767_571_200_000_000  # 2026-01-05 08:00 in China
SECOND = 1_000_000
BASE = "/v3/new-tax-control-fapiao/fapiao-applications"


def verify_request(method: str, target: str, headers: Mapping[str, str], body: bytes) -> str:
    """Stands for the WeChat Pay signature: the header carries what was signed."""
    if headers.get("authorization") != f"{method} {target} {len(body)}":
        raise ApiError(401, "SIGN_ERROR", "签名错误")
    return headers["mchid"]


def sign_reply(status: int, body: bytes, _request_headers: Mapping[str, str]) -> Mapping[str, str]:
    return {"Wechatpay-Signature": f"{status}:{len(body)}"}


class Bench:
    """A platform in virtual time, its events, and a merchant."""

    def __init__(
        self, *faults: TaxFault, seed: str = "t", latency: LatencyProfile = ISSUE_LATENCY, **seller: Any
    ) -> None:
        self.kernel = VirtualKernel(seed, epoch_us=EPOCH_US)
        self.events: list[tuple[int, str, str, bytes]] = []
        self.seller = Seller(
            "1900000001", "昆明某石油公司", "91530100MA6K000000", "https://backend.station/n", **seller
        )
        self.platform = TaxPlatform(
            self.kernel,
            [self.seller, Seller("1900000002", "另一家", "91530100MA6K000001", "https://other.station/n")],
            verify_request=verify_request,
            sign_reply=sign_reply,
            announce=self.announce,
            latency=latency,
            faults=faults,
        )
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.platform.app), base_url="https://api.mch.weixin.qq.com"
        )

    def announce(
        self,
        mchid: str,
        url: str,
        *,
        event_type: str,
        summary: str,
        resource: Mapping[str, object],
        subject: str,
    ) -> None:
        assert url == self.platform.sellers[mchid].notify_url
        self.events.append((self.kernel.now_us, event_type, subject, msgspec.json.encode(resource)))

    async def call(
        self, method: str, target: str, body: bytes = b"", mchid: str = "1900000001"
    ) -> httpx.Response:
        headers = {"Authorization": f"{method} {target} {len(body)}", "mchid": mchid}
        return await self.client.request(method, target, content=body, headers=headers)

    async def issue(self, apply_id: str, fapiao_id: str = "F1", **changes: Any) -> httpx.Response:
        return await self.call("POST", ISSUE_PATH, issue_body(apply_id, fapiao_id, **changes))

    async def query(self, apply_id: str) -> tuple[FapiaoReport, ...]:
        reply = await self.call("GET", f"{BASE}/{apply_id}")
        assert reply.status_code == 200, reply.text
        return read_query(reply.content)

    def run(self, coro: Any, until_us: int | None = None) -> Any:
        done = self.kernel.task(coro)
        self.kernel.run(until_us)
        return done.value


BenchOf = Callable[..., Bench]


@pytest.fixture
def bench_of() -> Iterator[BenchOf]:
    made: list[Bench] = []

    def make(*faults: TaxFault, **options: Any) -> Bench:
        made.append(Bench(*faults, **options))
        return made[-1]

    yield make
    for bench in made:
        bench.kernel.close()


def issue_body(
    apply_id: str,
    fapiao_id: str = "F1",
    *,
    volume_ml: int = 12_290,
    amount: int = 9598,
    tax_code: str = PETROL_TAX_CODE,
    unit: str = "LETER",
) -> bytes:
    line = FuelLine(
        tax_code,
        "车用汽油",
        unit,
        quantity_of_ml(volume_ml),
        amount,
        "昆明北站",
        "2026-01-05T08:00:00+08:00",
        "3号枪",
    )
    request = IssueRequest(apply_id, fapiao_id, Buyer("INDIVIDUAL", "王小明"), (line,), ((apply_id, amount),))
    return msgspec.json.encode(request.body())


def test_an_invoice_is_accepted_then_issued_then_announced(bench_of: BenchOf) -> None:
    bench = bench_of(latency=LatencyProfile.constant(600_000))

    async def merchant() -> tuple[Any, ...]:
        accepted = await bench.issue("A1")
        before = await bench.query("A1")
        await asyncio.sleep(0.7)
        return accepted, before, await bench.query("A1")

    accepted, before, after = bench.run(merchant())
    assert (accepted.status_code, accepted.content) == (202, b"")
    assert accepted.headers["Wechatpay-Signature"] == "202:0"
    assert before[0].state is FapiaoState.ISSUE_ACCEPTED
    assert before[0].number == ""
    (issued,) = after
    number = FapiaoNumber.parse(issued.number)
    assert (number.year, number.region, number.channel, number.sequence) == (26, 53, 2, 1)
    assert (issued.state, issued.gross_fen, issued.net_fen + issued.tax_fen) == (
        FapiaoState.ISSUED,
        9598,
        9598,
    )
    assert issued.issued_at == "2026-01-05T08:00:00+08:00"
    ((at_us, event_type, subject, resource),) = bench.events
    assert (at_us, event_type, subject) == (600_000, "FAPIAO.ISSUED", "A1")
    assert read_notice(resource).fapiaos == (("F1", FapiaoState.ISSUED),)


def test_the_lines_of_an_issued_invoice_hold_the_invariants(bench_of: BenchOf) -> None:
    bench = bench_of()

    async def merchant() -> bytes:
        await bench.issue("A1")
        await asyncio.sleep(10)
        return (await bench.call("GET", f"{BASE}/A1")).content

    (entry,) = msgspec.json.decode(bench.run(merchant()))["fapiao_information"]
    (item,) = entry["items"]
    line = LineFigures(
        item["quantity"], item["total_amount"], item["amount"], item["tax_amount"], item["unit_price"]
    )
    assert line_problems(line) == ()
    assert item["quantity"] == 12_290 * QUANTITY_SCALE // 1000
    assert "王小明" not in str(entry)


def test_a_repeat_returns_the_same_and_issues_nothing_new(bench_of: BenchOf) -> None:
    bench = bench_of()

    async def merchant() -> list[int]:
        together = await asyncio.gather(*(bench.issue("A1") for _ in range(100)))
        await asyncio.sleep(10)
        return [reply.status_code for reply in [*together, await bench.issue("A1")]]

    assert set(bench.run(merchant())) == {202}
    assert len(bench.events) == 1
    assert len(bench.platform.find("1900000001", "A1").fapiaos) == 1


def test_the_same_number_with_other_content_is_refused_and_changes_nothing(bench_of: BenchOf) -> None:
    bench = bench_of()

    async def merchant() -> list[Any]:
        await bench.issue("A1")
        replies = [await bench.issue("A1", amount=9600), await bench.issue("A1", "F2")]
        await asyncio.sleep(10)
        return [*replies, await bench.query("A1")]

    changed, second, (report,) = bench.run(merchant())
    assert [(r.status_code, r.json()["code"]) for r in (changed, second)] == [(400, "INVALID_REQUEST")] * 2
    assert report.gross_fen == 9598


def test_requests_that_are_not_signed_never_get_in(bench_of: BenchOf) -> None:
    bench = bench_of()

    async def stranger() -> httpx.Response:
        return await bench.client.post(ISSUE_PATH, content=issue_body("A1"), headers={"mchid": "1900000001"})

    reply = bench.run(stranger())
    assert (reply.status_code, reply.json()["code"]) == (401, "SIGN_ERROR")
    assert "Wechatpay-Signature" not in reply.headers
    assert not bench.platform.applications


@pytest.mark.parametrize(
    ("method", "target", "status", "code"),
    [
        ("GET", ISSUE_PATH, 405, None),
        ("DELETE", f"{BASE}/A1", 405, None),
        ("GET", "/v3/new-tax-control-fapiao/else", 404, None),
        ("GET", f"{BASE}/A1/nothing", 404, None),
        ("GET", f"{BASE}/A9", 404, "RESOURCE_NOT_EXISTS"),
        ("POST", ISSUE_PATH, 400, "PARAM_ERROR"),
        ("POST", f"{BASE}/A9/reverse", 400, "PARAM_ERROR"),
    ],
)
def test_wrong_calls(bench_of: BenchOf, method: str, target: str, status: int, code: str | None) -> None:
    bench = bench_of()
    reply = bench.run(bench.call(method, target, b"{}" if method == "POST" else b""))
    assert reply.status_code == status
    assert (reply.json()["code"] if reply.content else None) == code


def test_a_body_beyond_any_real_one_is_refused(bench_of: BenchOf) -> None:
    bench = bench_of()
    reply = bench.run(bench.call("POST", ISSUE_PATH, b"{" + b" " * 70_000 + b"}"))
    assert (reply.status_code, reply.json()["code"]) == (400, "PARAM_ERROR")


def test_another_merchant_sees_nothing_and_may_use_the_same_number(bench_of: BenchOf) -> None:
    bench = bench_of()

    async def merchants() -> list[httpx.Response]:
        await bench.issue("A1")
        return [
            await bench.call("GET", f"{BASE}/A1", mchid="1900000002"),
            await bench.call("POST", ISSUE_PATH, issue_body("A1"), mchid="1900000002"),
            await bench.call("POST", ISSUE_PATH, issue_body("A2"), mchid="1900000009"),
        ]

    unseen, own, unknown = bench.run(merchants())
    assert (unseen.status_code, own.status_code, unknown.status_code) == (404, 202, 403)


def test_latency_follows_the_declared_profile(bench_of: BenchOf) -> None:
    bench = bench_of()

    async def merchant() -> None:
        for number in range(1000):
            await bench.issue(f"A{number}")

    bench.run(merchant())
    taken = sorted(at_us for at_us, *_ in bench.events)
    assert len(taken) == 1000
    assert 0.55 * SECOND < taken[499] < 0.65 * SECOND
    assert 1.5 * SECOND < taken[989] < 2.2 * SECOND


def test_equal_seeds_issue_at_equal_times_and_another_seed_at_others(bench_of: BenchOf) -> None:
    def times(seed: str) -> list[tuple[int, str]]:
        bench = bench_of(seed=seed)

        async def merchant() -> None:
            for number in range(20):
                await bench.issue(f"A{number}")

        bench.run(merchant())
        return [(at_us, subject) for at_us, _, subject, _ in bench.events]

    assert times("one") == times("one")
    assert times("one") != times("two")


def test_a_stall_accepts_at_once_and_issues_when_it_is_over(bench_of: BenchOf) -> None:
    bench = bench_of(TaxFault(kind="stall", at_us=0, for_us=60 * SECOND))

    async def merchant() -> list[Any]:
        accepted = [await bench.issue(f"A{n}") for n in range(3)]
        answered_us = bench.kernel.now_us
        await asyncio.sleep(30)
        waiting = await bench.query("A1")
        return [accepted, answered_us, waiting]

    accepted, answered_us, waiting = bench.run(merchant())
    assert [reply.status_code for reply in accepted] == [202] * 3
    assert answered_us == 0
    assert waiting[0].state is FapiaoState.ISSUE_ACCEPTED
    assert [at_us for at_us, *_ in bench.events] == [60_000_000, 60_020_000, 60_040_000]
    assert bench.platform.fault_report() == {"stall": {"landed": 3, "held": 0}}


def test_an_accept_stall_holds_the_answer_but_does_the_work(bench_of: BenchOf) -> None:
    bench = bench_of(TaxFault(kind="accept-stall", at_us=0, for_us=5 * SECOND))

    async def merchant() -> Any:
        try:
            async with asyncio.timeout(3):
                await bench.issue("A1")
        except TimeoutError:
            pass
        gave_up_us = bench.kernel.now_us
        slow = await bench.issue("A2")
        return gave_up_us, slow.status_code, bench.kernel.now_us

    assert bench.run(merchant()) == (3_000_000, 202, 5_000_000)
    assert bench.platform.fault_report()["accept-stall"]["landed"] == 2


def test_a_lost_login_holds_everything_and_releases_a_burst_in_order(bench_of: BenchOf) -> None:
    bench = bench_of(latency=LatencyProfile.constant(500_000))

    async def merchant() -> Any:
        bench.platform.arm(TaxFault(kind="login-lost", name="session", burst_gap_us=10_000))
        for number in range(50):
            await bench.issue(f"A{number:02d}")
            await asyncio.sleep(1)
        held = bench.platform.fault_report()
        bench.platform.disarm("session")
        return held, bench.kernel.now_us

    held, logged_in_us = bench.run(merchant())
    assert held == {"session": {"landed": 50, "held": 50}}
    assert [subject for _, _, subject, _ in bench.events] == [f"A{n:02d}" for n in range(50)]
    assert [at_us for at_us, *_ in bench.events] == [logged_in_us + n * 10_000 for n in range(50)]
    numbers = [f.number for a in bench.platform.applications.values() for f in a.fapiaos.values()]
    assert len(set(numbers)) == 50
    assert bench.platform.fault_report()["session"] == {"landed": 50, "held": 0}


def test_stock_runs_out_for_diesel_only_and_a_new_try_succeeds_when_it_is_restored(bench_of: BenchOf) -> None:
    bench = bench_of(stock_e8={DIESEL_TAX_CODE: quantity_of_ml(100_000)})

    async def merchant() -> Any:
        await bench.issue("D1", volume_ml=60_000, tax_code=DIESEL_TAX_CODE)
        await asyncio.sleep(10)
        await bench.issue("D2", volume_ml=60_000, tax_code=DIESEL_TAX_CODE)
        await bench.issue("P1", volume_ml=60_000)
        await asyncio.sleep(10)
        failed = await bench.query("D2")
        repeated = await bench.issue("D2", volume_ml=60_000, tax_code=DIESEL_TAX_CODE)
        bench.seller.stock_e8[DIESEL_TAX_CODE] += quantity_of_ml(1_000_000)
        again = await bench.issue("D2", "F2", volume_ml=60_000, tax_code=DIESEL_TAX_CODE)
        await asyncio.sleep(10)
        return failed, repeated.status_code, again.status_code, await bench.query("D2")

    failed, repeated, again, (first, second) = bench.run(merchant())
    assert (failed[0].state, failed[0].reason) == (FapiaoState.ISSUE_FAILED, "成品油库存不足")
    assert (repeated, again) == (202, 202)
    assert (first.state, second.state) == (FapiaoState.ISSUE_FAILED, FapiaoState.ISSUED)
    assert {subject for _, _, subject, _ in bench.events} == {"D1", "P1", "D2"}
    assert bench.seller.stock_e8[DIESEL_TAX_CODE] == quantity_of_ml(980_000)


def test_tons_are_taken_from_the_stock_as_litres(bench_of: BenchOf) -> None:
    bench = bench_of(stock_e8={DIESEL_TAX_CODE: 2000 * QUANTITY_SCALE})
    bench.run(bench.issue("D1", volume_ml=1_000, amount=800_000, tax_code=DIESEL_TAX_CODE, unit="TON"))
    assert bench.seller.stock_e8[DIESEL_TAX_CODE] == (2000 - 1176) * QUANTITY_SCALE


def test_four_tries_and_no_fifth(bench_of: BenchOf) -> None:
    bench = bench_of(TaxFault(kind="quota", tax_codes=(PETROL_TAX_CODE,)))

    async def merchant() -> list[int]:
        statuses = []
        for number in range(5):
            statuses.append((await bench.issue("A1", f"F{number}")).status_code)
            await asyncio.sleep(10)
        return statuses

    assert bench.run(merchant()) == [202, 202, 202, 202, 400]
    assert bench.platform.fault_report()["quota"]["landed"] == 4
    assert not bench.events


def test_a_used_up_credit_line_is_told_at_once(bench_of: BenchOf) -> None:
    bench = bench_of(credit_fen=10_000)

    async def merchant() -> list[httpx.Response]:
        return [await bench.issue("A1"), await bench.issue("A2")]

    first, second = bench.run(merchant())
    assert (first.status_code, second.status_code, second.json()["code"]) == (202, 400, "BIZ_ERROR")
    assert bench.seller.credit_fen == 402


def test_a_red_letter_once_whatever_is_asked_how_often(bench_of: BenchOf) -> None:
    bench = bench_of(stock_e8={PETROL_TAX_CODE: quantity_of_ml(20_000)})
    reason = b'{"reverse_reason":"SALES_RETURN"}'

    async def merchant() -> Any:
        early = await bench.issue("A1")
        too_soon = await bench.call("POST", f"{BASE}/A1/reverse", reason)
        await asyncio.sleep(10)
        asked = [await bench.call("POST", f"{BASE}/A1/reverse", reason) for _ in range(5)]
        await asyncio.sleep(20)
        asked.append(await bench.call("POST", f"{BASE}/A1/reverse", reason))
        return (
            early.status_code,
            too_soon.status_code,
            {r.status_code for r in asked},
            await bench.query("A1"),
        )

    early, too_soon, asked, (report,) = bench.run(merchant())
    assert (early, too_soon, asked) == (202, 400, {202})
    assert report.state is FapiaoState.REVERSED
    assert FapiaoNumber.parse(report.red_number).sequence == 2
    assert [event for _, event, _, _ in bench.events] == ["FAPIAO.ISSUED", "FAPIAO.REVERSED"]
    assert bench.events[1][0] - 10 * SECOND >= 10 * SECOND
    assert bench.seller.stock_e8[PETROL_TAX_CODE] == quantity_of_ml(20_000)


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"kind": "nothing"}, "kind must be one of"),
        ({"kind": "accept-stall"}, "needs for_us"),
        ({"kind": "quota", "tax_codes": "107"}, "tax_codes"),
        ({"kind": "stall", "burst_gap_us": -1}, "burst_gap_us"),
        ({"kind": "stall", "colour": 1}, "no field 'colour'"),
    ],
)
def test_impossible_faults_are_named(fields: dict[str, Any], word: str) -> None:
    with pytest.raises(FaultError, match=word):
        TaxFault.from_dict(fields)


def test_faults_by_hand_need_names_of_their_own(bench_of: BenchOf) -> None:
    bench = bench_of(TaxFault(kind="stall", for_us=1))
    for name in ("", "stall"):
        with pytest.raises(FaultError, match="name of its own"):
            bench.platform.arm(TaxFault(kind="stall", name=name))
    with pytest.raises(KeyError):
        bench.platform.disarm("nobody")


def test_a_reversal_waits_for_the_bureau_and_fails_while_the_buyer_does_not_agree(bench_of: BenchOf) -> None:
    lost = TaxFault(kind="login-lost", name="gone", at_us=5 * SECOND, for_us=60 * SECOND)
    bench = bench_of(lost)
    reason = b'{"reverse_reason":"SALES_RETURN"}'

    async def states() -> list[tuple[FapiaoState, str]]:
        return [(report.state, report.red_number) for report in await bench.query("A1")]

    async def play() -> None:
        await bench.issue("A1")
        await asyncio.sleep(4)
        bench.platform.take_up("1900000001", "A1")
        await bench.call("POST", f"{BASE}/A1/reverse", reason)
        await asyncio.sleep(30)
        assert await states() == [(FapiaoState.REVERSE_ACCEPTED, "")], "held with the login"
        await asyncio.sleep(40)
        assert await states() == [(FapiaoState.REVERSE_FAILED, "")]
        bench.platform.take_up("1900000001", "A1", agrees=True)
        assert (await bench.call("POST", f"{BASE}/A1/reverse", reason)).status_code == 202
        await asyncio.sleep(20)
        ((state, number),) = await states()
        assert state is FapiaoState.REVERSED
        assert len(number) == 20

    bench.run(play())
    assert bench.platform.fault_report() == {"gone": {"landed": 1, "held": 0}}
    with pytest.raises(ApiError):
        bench.platform.take_up("1900000001", "A9")
