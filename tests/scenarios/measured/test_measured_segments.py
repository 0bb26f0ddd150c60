"""From instants to latencies: whose part of a payment is whose."""

from __future__ import annotations

import pytest

from scenarios.loadgen.payments import PaymentSample
from scenarios.measured.segments import segments
from scenarios.world.instants import PaymentInstants

INTENDED = 1_000_000


def sample(**changes):
    whole = PaymentSample(
        number=0,
        intended_us=INTENDED,
        out_trade_no="T1",
        sent_us=INTENDED + 2_000,
        pay_replied_us=INTENDED + 90_000,
        confirmed_us=INTENDED + 5_090_000,
        paid_us=INTENDED + 5_190_000,
        answered_us=INTENDED + 5_200_000,
        issued_us=INTENDED + 5_900_000,
    )
    for name, value in changes.items():
        setattr(whole, name, value)
    return whole


GATEWAY = {
    "T1": PaymentInstants(
        prepay_arrived_us=INTENDED + 30_000,
        prepay_replied_us=INTENDED + 60_000,
        callback_left_us=INTENDED + 5_150_000,
        callbacks=1,
    )
}


@pytest.mark.requirement("perf.human-time-apart")
def test_gateway_and_human_are_taken_out_of_the_controlled_segment():
    found = segments([sample()], GATEWAY, cut_off_us=INTENDED + 9_000_000)
    # 30 ms to the gateway's door, 40 ms from it to PAID; 5 s of human time stand between.
    assert found.payment_controlled == [30_000 + 40_000]
    assert found.payment_end_to_end == [5_190_000 - 5_000_000]
    assert found.invoice_answered == [10_000]
    assert found.invoice_issued == [710_000]
    assert found.unmatched == 0
    assert set(found.as_record()) == {
        "payment_controlled",
        "payment_end_to_end",
        "invoice_answered",
        "invoice_issued",
    }


@pytest.mark.requirement("perf.open-loop-measurement")
def test_time_counts_from_the_intended_press_not_from_the_late_one():
    late = sample(sent_us=INTENDED + 700_000)
    gateway = {
        "T1": PaymentInstants(prepay_arrived_us=INTENDED + 730_000, callback_left_us=INTENDED + 5_150_000)
    }
    found = segments([late], gateway, cut_off_us=INTENDED + 9_000_000)
    assert found.payment_controlled == [730_000 + 40_000]


def test_a_payment_that_never_came_counts_until_the_cut_and_is_not_left_out():
    never = sample(paid_us=None, answered_us=None, issued_us=None, confirmed_us=None, pay_replied_us=None)
    found = segments([never], {}, cut_off_us=INTENDED + 20_000_000)
    assert found.payment_controlled == [20_000_000]
    assert found.payment_end_to_end == [20_000_000]
    assert found.invoice_issued == []


def test_an_invoice_that_was_never_answered_counts_until_the_cut():
    silent = sample(answered_us=None, issued_us=None)
    found = segments([silent], GATEWAY, cut_off_us=INTENDED + 15_190_000)
    assert found.invoice_answered == [10_000_000]
    assert found.invoice_issued == [10_000_000]


def test_paid_by_a_query_before_the_callback_left_owes_nothing_for_the_way_back():
    early = {
        "T1": PaymentInstants(prepay_arrived_us=INTENDED + 30_000, callback_left_us=INTENDED + 6_000_000)
    }
    assert segments([sample()], early, cut_off_us=INTENDED + 9_000_000).payment_controlled == [30_000]


def test_a_paid_payment_that_the_gateway_does_not_know_is_counted_as_such():
    found = segments([sample()], {}, cut_off_us=INTENDED + 9_000_000)
    assert found.unmatched == 1
    assert found.payment_controlled == []
    assert len(found.payment_end_to_end) == 1


def test_the_harness_owns_only_its_own_delay():
    assert sample(order_acked_us=INTENDED - 500_000).lag_us == 2_000
    # The system acknowledged the order 1 ms before the late press: the rest of the delay is the system's.
    assert sample(sent_us=INTENDED + 700_000, order_acked_us=INTENDED + 699_000).lag_us == 1_000
    assert sample(order_acked_us=None).lag_us is None
