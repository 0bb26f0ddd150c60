from __future__ import annotations

import httpx
import pytest

from sim.faults import FaultError
from sim.latency import LatencyProfile
from sim.net import HttpFault, Network

LEG_US = 10_000


@pytest.fixture
def ask(run, till):
    """One request through one fault: (reply or error, when it came, how often the till was asked, the fault)."""

    def ask(fault, *, timeout=5.0, method="POST", path="/pay", times=1):
        network = Network(run.kernel, latency=LatencyProfile.constant(LEG_US), faults=[fault])
        network.register("till.sim", till)

        async def shop():
            outcome = None
            transport = network.transport("phone")
            async with httpx.AsyncClient(
                transport=transport, base_url="https://till.sim", timeout=timeout
            ) as http:
                for _ in range(times):
                    try:
                        outcome = await http.request(method, path)
                    except httpx.TransportError as error:
                        outcome = error
            return outcome, network.now_us()

        outcome, now_us = run.go(shop())
        return outcome, now_us, len(till.seen), network.faults[0]

    return ask


def test_a_lost_request_is_never_seen_and_times_out(ask, run):
    outcome, now_us, seen, fault = ask(HttpFault(kind="request_lost"))
    assert (type(outcome), now_us, seen, fault.landed) == (httpx.ReadTimeout, 5_000_000, 0, 1)
    assert run.of("http.fault")[0]["effect"] == "request_lost"


def test_a_lost_reply_times_out_although_the_host_has_acted(ask, run):
    outcome, now_us, seen, fault = ask(HttpFault(kind="reply_lost"))
    assert (type(outcome), now_us, seen, fault.landed) == (httpx.ReadTimeout, 5_000_000, 1, 1)
    assert run.of("http")[0]["replied_us"] == LEG_US


def test_a_client_without_a_timeout_is_told_in_the_end(ask):
    outcome, now_us, _, _ = ask(HttpFault(kind="request_lost"), timeout=None)
    assert (type(outcome), now_us) == (httpx.ReadTimeout, 60_000_000)


@pytest.mark.parametrize(("leg", "arrived_us"), [("request", LEG_US + 300_000), ("reply", LEG_US)])
def test_a_late_leg_delays_the_reply(ask, run, leg, arrived_us):
    outcome, now_us, seen, fault = ask(HttpFault(kind="late", delay_us=300_000, leg=leg))
    assert (outcome.status_code, now_us, seen, fault.landed) == (201, 2 * LEG_US + 300_000, 1, 1)
    assert run.of("http")[0]["arrived_us"] == arrived_us


def test_a_reply_later_than_the_timeout_is_a_timeout(ask):
    outcome, now_us, seen, _ = ask(HttpFault(kind="late", delay_us=6_000_000))
    assert (type(outcome), now_us, seen) == (httpx.ReadTimeout, 5_000_000, 1)


def test_a_duplicated_request_is_seen_twice_and_answered_once(ask):
    outcome, now_us, seen, fault = ask(HttpFault(kind="duplicated", delay_us=1_000))
    assert outcome.json() == {"paid": 1}, "the client gets the first reply"
    assert (now_us, seen, fault.landed) == (2 * LEG_US, 2, 1)


@pytest.mark.parametrize(("when", "seen"), [("before", 0), ("after", 1)])
def test_a_reset_before_or_after_the_host_has_acted(ask, when, seen):
    outcome, now_us, asked, fault = ask(HttpFault(kind="reset", when=when))
    assert (type(outcome), now_us, asked, fault.landed) == (httpx.ReadError, 2 * LEG_US, seen, 1)


def test_a_host_that_is_down_refuses(ask):
    outcome, now_us, seen, fault = ask(HttpFault(kind="host_down"))
    assert (type(outcome), now_us, seen, fault.landed) == (httpx.ConnectError, 2 * LEG_US, 0, 1)


def test_an_unreachable_host_is_a_connect_timeout(ask):
    outcome, now_us, seen, _ = ask(HttpFault(kind="unreachable"), timeout=httpx.Timeout(9, connect=2))
    assert (type(outcome), now_us, seen) == (httpx.ConnectTimeout, 2_000_000, 0)


def test_a_schedule_and_a_limit_bound_a_fault(ask):
    # Each request takes 20 ms; the fault may strike from 50 ms to 150 ms: five requests depart in that window.
    _, _, seen, fault = ask(HttpFault(kind="reset", at_us=50_000, for_us=100_000), times=20)
    assert (fault.landed, seen) == (5, 15)


def test_a_limit_is_kept(ask):
    _, _, seen, fault = ask(HttpFault(kind="reset", limit=3), times=20)
    assert (fault.landed, seen) == (3, 17)


@pytest.mark.parametrize(
    "narrow",
    [{"client": "kiosk"}, {"host": "bank.sim"}, {"method": "GET"}, {"path": "/refund/*"}],
)
def test_a_fault_strikes_only_what_it_names(ask, narrow):
    outcome, _, seen, fault = ask(HttpFault(kind="request_lost", **narrow))
    assert (outcome.status_code, seen, fault.landed) == (201, 1, 0)


def test_a_fault_is_read_from_plain_data():
    raw = {"kind": "late", "name": "slow bank", "path": "/v3/*", "delay_us": 5, "probability": 0.5}
    assert HttpFault.from_dict(raw) == HttpFault(
        kind="late", name="slow bank", path="/v3/*", delay_us=5, probability=0.5
    )


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"kind": "lost"}, "HTTP fault kind 'lost' is not one of request_lost"),
        ({}, "HttpFault needs a kind"),
        ({"kind": "late"}, "late: delay_us must be a whole number from 1 up, not 0"),
        ({"kind": "reset", "when": "during"}, "reset: when is before or after, not 'during'"),
        ({"kind": "late", "delay_us": 1, "leg": "both"}, "late: leg is request or reply"),
        ({"kind": "reset", "probability": 0}, "probability must be above 0"),
        ({"kind": "reset", "at_us": -1}, "at_us must be a whole number from 0 up"),
        ({"kind": "reset", "chance": 1}, "HttpFault has no field 'chance'"),
    ],
)
def test_a_bad_fault_says_what_is_wrong(raw, message):
    with pytest.raises(FaultError, match=message):
        HttpFault.from_dict(raw)
