"""Refunds, cancels, pre-authorisations and reversals: sums, clearing days, and what the original must be."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim.unionpay import GatewayFault, Switches

DAY_S = 86_400


def test_partial_refunds_add_up_to_the_payment_and_no_further(world: Any) -> None:
    async def story() -> None:
        paid = await world.scanned(amount=10_000)
        await world.later()
        first = await world.follow("04", "REFUND0001", 4_000, paid)
        assert first["respCode"] == "00"
        assert first["origQryId"] == paid["queryId"] != first["queryId"]
        assert (await world.follow("04", "REFUND0002", 6_001, paid))["respCode"] == "36"
        assert (await world.follow("04", "REFUND0003", 6_000, paid))["respCode"] == "00"
        assert (await world.follow("04", "REFUND0004", 1, paid))["respCode"] == "45"
        await world.later()
        asked = await world.query("REFUND0001", first["txnTime"])
        assert (asked["txnType"], asked["origRespCode"], asked["settleAmt"]) == ("04", "00", "4000")
        # A refunded payment stays a payment: the refund is a trade of its own.
        assert (await world.query("ORDER00001", paid["txnTime"]))["origRespCode"] == "00"

    world.run(story())
    assert [fields["txnType"] for _, fields in world.shop.seen] == ["01", "04", "04"]


def test_the_same_refund_again_is_a_duplicate_even_when_nothing_is_left(world: Any) -> None:
    async def story() -> None:
        paid = await world.scanned(amount=10_000)
        await world.later()
        time = world.now()
        assert (await world.follow("04", "REFUND0001", 10_000, paid, txnTime=time))["respCode"] == "00"
        assert (await world.follow("04", "REFUND0001", 10_000, paid, txnTime=time))["respCode"] == "12"

    world.run(story())


def test_a_refund_the_bank_declines_gives_its_share_back(make_world: Any) -> None:
    world = make_world(GatewayFault(kind="decline", at=("refund",), code="60", limit=1))

    async def story() -> None:
        paid = await world.scanned(amount=10_000)
        await world.later()
        first = await world.follow("04", "REFUND0001", 10_000, paid)
        assert first["respCode"] == "00"
        await world.later()
        assert (await world.query("REFUND0001", first["txnTime"]))["origRespCode"] == "60"
        assert (await world.follow("04", "REFUND0002", 10_000, paid))["respCode"] == "00"

    world.run(story())
    # Only what succeeded is announced.
    assert [fields["orderId"] for _, fields in world.shop.seen] == ["ORDER00001", "REFUND0002"]


def test_refunds_end_with_their_period(make_world: Any) -> None:
    world = make_world(switches=Switches(refund_days=30))

    async def story() -> None:
        paid = await world.scanned()
        await world.later(30 * DAY_S)
        assert (await world.follow("04", "REFUND0001", 1, paid))["respCode"] == "00"
        await world.later(1)
        assert (await world.follow("04", "REFUND0002", 1, paid))["respCode"] == "39"

    world.run(story())


def test_a_cancel_takes_the_whole_amount_on_the_same_clearing_day(world: Any) -> None:
    async def story() -> None:
        paid = await world.scanned()
        other = await world.scanned("ORDER00002")
        await world.later()
        assert (await world.follow("31", "CANCEL0001", 9_599, paid))["respCode"] == "36"
        assert (await world.follow("31", "CANCEL0002", 9_600, paid))["respCode"] == "00"
        assert (await world.follow("31", "CANCEL0003", 9_600, paid))["respCode"] == "45"
        assert (await world.follow("04", "REFUND0001", 1, paid))["respCode"] == "45"
        # It is 22:13:20; at 23:00 the next clearing day begins, though the calendar day goes on.
        await world.later(2_799)
        assert world.now()[8:] == "225959"
        third = await world.scanned("ORDER00003")
        await world.later(1)
        assert (await world.follow("31", "CANCEL0004", 9_600, other))["respCode"] == "39"
        assert (await world.follow("31", "CANCEL0005", 9_600, third))["respCode"] == "39"
        fourth = await world.scanned("ORDER00004")
        await world.later(7_200)
        assert world.now()[:8] == "20260922"
        assert (await world.follow("31", "CANCEL0006", 9_600, fourth))["respCode"] == "00"
        assert (await world.follow("04", "REFUND0002", 9_600, other))["respCode"] == "00"

    world.run(story())
    days = {fields["orderId"]: fields["settleDate"] for _, fields in world.shop.seen}
    assert (days["ORDER00003"], days["ORDER00004"]) == ("0921", "0922")


def test_a_partly_refunded_payment_cannot_be_cancelled(world: Any) -> None:
    async def story() -> None:
        paid = await world.scanned()
        await world.later()
        assert (await world.follow("04", "REFUND0001", 1, paid))["respCode"] == "00"
        assert (await world.follow("31", "CANCEL0001", 9_600, paid))["respCode"] == "45"

    world.run(story())


def test_originals_that_do_not_exist_or_do_not_fit(world: Any) -> None:
    async def story() -> None:
        assert (await world.follow("04", "REFUND0001", 1, {"queryId": "1" * 21}))["respCode"] == "35"
        held = await world.scanned("ORDER00001", kind="02")
        paid = await world.scanned("ORDER00002")
        await world.later()
        for kind, original in (("04", held), ("31", held), ("03", paid), ("32", paid), ("33", paid)):
            assert (await world.follow(kind, f"FOLLOW00{kind}", 9_600, original))["respCode"] == "35"

    world.run(story())


def test_authorise_then_pump(world: Any) -> None:
    async def story() -> None:
        held = await world.scanned("ORDER00001", 20_000, kind="02")
        await world.later()
        assert (await world.follow("03", "FINISH0001", 23_001, held))["respCode"] == "36"
        done = await world.follow("03", "FINISH0002", 15_321, held)
        assert done["respCode"] == "00"
        await world.later()
        assert (await world.follow("03", "FINISH0003", 1, held))["respCode"] == "35"
        assert (await world.follow("32", "CANCEL0001", 20_000, held))["respCode"] == "35"
        assert (await world.follow("33", "CANCEL0002", 15_321, done))["respCode"] == "00"
        await world.later()
        assert (await world.follow("32", "CANCEL0003", 20_000, held))["respCode"] == "00"
        assert (await world.follow("03", "FINISH0004", 1, held))["respCode"] == "45"

    world.run(story())
    kinds = [fields["txnType"] for _, fields in world.shop.seen]
    assert kinds == ["02", "03", "33", "32"]


def test_a_declined_completion_leaves_the_authorisation_open(make_world: Any) -> None:
    world = make_world(
        GatewayFault(kind="decline", at=("completion",), limit=1),
        GatewayFault(kind="decline", name="again", at=("completion-cancel",), limit=1),
    )

    async def story() -> None:
        held = await world.scanned("ORDER00001", 20_000, kind="02")
        await world.later()
        await world.follow("03", "FINISH0001", 15_000, held)
        await world.later()
        done = await world.follow("03", "FINISH0002", 15_000, held)
        assert done["respCode"] == "00"
        await world.later()
        await world.follow("33", "CANCEL0001", 15_000, done)
        await world.later()
        # The cancel of the completion was declined: the completion still stands.
        assert (await world.follow("03", "FINISH0003", 15_000, held))["respCode"] == "35"
        assert (await world.follow("33", "CANCEL0002", 15_000, done))["respCode"] == "00"

    world.run(story())


def test_a_reversal_has_the_names_of_its_consume(world: Any) -> None:
    async def story() -> None:
        paid = await world.scanned()
        await world.later()
        again = {"txnTime": paid["txnTime"]}
        elsewhere = await world.back(world.fields("99", "06", "ORDER00009", **again))
        assert elsewhere["respCode"] == "35"
        undone = await world.back(world.fields("99", "06", "ORDER00001", **again))
        assert undone["respCode"] == "00"
        assert (await world.query("ORDER00001", paid["txnTime"]))["origRespCode"] == "46"
        twice = await world.back(world.fields("99", "06", "ORDER00001", **again))
        assert twice["respCode"] == "46"
        assert (await world.follow("04", "REFUND0001", 1, paid))["respCode"] == "35"

    world.run(story())


def test_a_reversal_in_the_middle_of_a_payment_wins(world: Any) -> None:
    async def story() -> None:
        qr_no = await world.code()
        reply = await world.back(world.trade("06", "ORDER00001", 200_000, qrNo=qr_no))
        undone = await world.back(world.fields("99", "06", "ORDER00001", txnTime=reply["txnTime"]))
        assert undone["respCode"] == "00"
        refused = await world.phone_does("confirm", qr_no=qr_no)
        assert refused.json()["reason"] == "reversed"

    world.run(story())
    assert world.shop.seen == []


def test_a_refunded_payment_cannot_be_reversed(world: Any) -> None:
    async def story() -> None:
        paid = await world.scanned()
        await world.later()
        await world.follow("04", "REFUND0001", 1, paid)
        undone = await world.back(world.fields("99", "06", "ORDER00001", txnTime=paid["txnTime"]))
        assert undone["respCode"] == "45"

    world.run(story())


_STEP = st.tuples(
    st.sampled_from(["04", "04", "04", "31", "99", "wait"]), st.integers(1, 12_000), st.booleans()
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(_STEP, max_size=8))
def test_never_more_goes_back_than_was_paid(make_world: Any, steps: Any) -> None:
    world = make_world(GatewayFault(kind="decline", at=("refund", "cancel"), probability=0.3))

    async def story() -> None:
        paid = await world.scanned(amount=10_000)
        await world.later()
        for number, (kind, amount, waits) in enumerate(steps):
            if kind == "99":
                await world.back(world.fields("99", "06", "ORDER00001", txnTime=paid["txnTime"]))
            elif kind != "wait":
                whole = 10_000 if kind == "31" else amount
                await world.follow(kind, f"FOLLOW{number:04d}", whole, paid)
            if waits:
                await world.later()

    world.run(story())
    trades = world.gateway.ledger.trades
    back_fen = sum(t.amount_fen for t in trades if t.kind in {"refund", "cancel"} and t.state == "success")
    reversed_fen = sum(t.amount_fen for t in trades if t.state == "reversed")
    assert back_fen + reversed_fen <= 10_000
    told = {fields["orderId"] for _, fields in world.shop.seen}
    assert told >= {t.order_id for t in trades if t.state == "success"}
    assert not world.shop.forged
