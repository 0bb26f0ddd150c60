"""Money under a state machine: two backends on one store, the simulated gateway and tax platform, in virtual time.

The machine does what people and networks do, in any order and while other things are still under way: it scans, pays,
cancels and refunds; it loses, delays, doubles, forges and replays callbacks; it lets the gateway fall silent after it
has committed; it kills a backend before or after any of its transactions and starts it again on the same store. Then
everything heals, time passes, and the books of the gateway, of the tax platform and of the backend must tell one story.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import ClassVar

import fastapi
import fastapi.dependencies.utils
import fastapi.routing
import fastapi.utils
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from protocols.wechatpay import notices
from reference.backend import app as app_module
from sim.kernel import VirtualKernel
from sim.wechatpay import generate_merchant, generate_platform

from .money_town import ADMIN, EPOCH_US, NODES, SECOND_US, Town


@pytest.fixture(scope="module", autouse=True)
def _cheaper_starts():
    """Hundreds of instances start here, so what is the same for all of them is made once or left out.

    FastAPI builds the models of every route for each application; routes that nobody calls here are not built; and
    garbage of these short runs is collected as usual.
    """
    made = {}
    build = fastapi.utils.create_model_field

    def known(name, type_, *arguments, **more):
        key = (name, id(type_), repr((type_, arguments, more)))
        if key not in made:
            made[key] = (build(name, type_, *arguments, **more), type_)
        return made[key][0]

    with pytest.MonkeyPatch.context() as patch:
        for module in (fastapi.routing, fastapi.dependencies.utils):
            patch.setattr(module, "create_model_field", known)
        for name in ("tank_routes", "shift_routes", "invoice_routes", "member_routes", "pump_routes"):
            if hasattr(app_module, name):
                patch.setattr(app_module, name, lambda *_: fastapi.APIRouter())
        patch.setattr(VirtualKernel, "_collect", lambda _: None)
        yield


@pytest.fixture(scope="module")
def keys():
    platform = generate_platform(valid_from_unix_s=EPOCH_US // 1_000_000 - 86_400)
    return platform, generate_merchant(platform)


WHICH = st.integers(0, 40)
NODE = st.sampled_from(NODES)
PAUSE_US = st.sampled_from([0, 1_500, 40_000, 300_000, 2_000_000, 20_000_000, 200_000_000])


class MoneyMachine(RuleBasedStateMachine):
    """Rules that cannot do anything yet do nothing: a shorter example then says less, and costs less."""

    keys: ClassVar = None
    runs: ClassVar = 0
    seen: ClassVar = Counter()

    def __init__(self):
        super().__init__()
        type(self).runs += 1
        self.town = Town(self.keys, 7)
        self.tokens = 0

    def pick(self, items, which):
        return items[which % len(items)] if items else None

    def ordered(self, which, need="order_id"):
        return self.pick([known for known in self.town.orders if known[need] is not None], which)

    @rule(
        node=NODE,
        phone=st.integers(0, 1),
        nozzle=st.integers(1, 2),
        mode=st.sampled_from(["postpay", "prepay"]),
        fen=st.sampled_from([1_000, 10_000]),
        invoice=st.booleans(),
        pause_us=PAUSE_US,
    )
    def scan(self, node, phone, nozzle, mode, fen, invoice, pause_us):
        self.town.go(self.town.scan(node, phone, nozzle, mode, fen, invoice))
        self.town.pass_time(pause_us)

    @rule(nozzle=st.integers(1, 2), fen=st.integers(1, 20_000), pause_us=PAUSE_US)
    def somebody_fuels(self, nozzle, fen, pause_us):
        if all(busy != nozzle for busy, _ in self.town.fills.values()):
            self.town.go(self.town.deliver("a", None, nozzle, fen))
        self.town.pass_time(pause_us)

    @rule(node=NODE, which=WHICH, share=st.integers(0, 11), pause_us=PAUSE_US)
    def fuel(self, node, which, share, pause_us):
        self.town.wait(self.town.site(node))
        if self.town.fills:
            self.town.fill(which, share)
        self.town.pass_time(pause_us)

    @rule(node=NODE, which=WHICH, pause_us=PAUSE_US, again=st.booleans())
    def pay(self, node, which, pause_us, again):
        known = self.ordered(which)
        if known is not None:
            self.town.go(self.town.pay(node, known))
            if again:
                self.town.go(self.town.pay("b" if node == "a" else "a", known))
        self.town.pass_time(pause_us)

    @rule(node=NODE, which=WHICH, pause_us=PAUSE_US)
    def confirm(self, node, which, pause_us):
        known = self.ordered(which, "asked")
        if known is not None:
            self.town.go(self.town.confirm(node, known))
        self.town.pass_time(pause_us)

    @initialize(
        customers=st.lists(
            st.tuples(
                NODE,
                st.integers(1, 2),
                st.sampled_from(["postpay", "prepay"]),
                st.booleans(),
                st.sampled_from(["scan", "fuel", "ask", "confirm", "confirm"]),
            ),
            min_size=2,
            max_size=4,
        )
    )
    def there_are_customers(self, customers):
        """The common case, so that what may go wrong after it is reached. Each gets as far as drawn."""
        town = self.town
        for phone, (node, nozzle, mode, invoice, far) in enumerate(customers):
            town.wait(town.scan(node, phone % 2, nozzle, mode, 10_000, invoice))
            known = town.orders[-1]
            if known["order_id"] is None or far == "scan":
                continue
            if mode == "postpay":
                town.wait(town.site(node))
                if known["order_id"] in town.fills:
                    town.fill(sorted(town.fills).index(known["order_id"]), 7)
                    town.pass_time(100_000)
            if far != "fuel":
                town.wait(town.pay(node, known))
            if far == "confirm" and known["asked"] is not None:
                town.go(town.confirm(node, known))
                town.pass_time(100_000)

    @rule(node=NODE, which=WHICH, pause_us=PAUSE_US)
    def cancel(self, node, which, pause_us):
        known = self.ordered(which)
        if known is not None:
            self.town.go(self.town.cancel(node, known))
        self.town.pass_time(pause_us)

    @rule(node=NODE, which=WHICH, pause_us=PAUSE_US)
    def settle_in_cash(self, node, which, pause_us):
        known = self.pick([sale for sale in self.town.sales if sale["sale_id"] is not None], which)
        if known is not None:
            self.town.go(self.town.settle(node, known))
        self.town.pass_time(pause_us)

    @rule(
        node=NODE,
        which=WHICH,
        fen=st.sampled_from([1, 500, 1_000, 10_000]),
        twice=st.booleans(),
        pause_us=PAUSE_US,
    )
    def operator_gives_back(self, node, which, fen, twice, pause_us):
        known = self.ordered(which)
        if known is not None:
            self.tokens += 1
            for n, where in enumerate(NODES):
                # Once more with the same token, or another operator at the same time.
                token = f"o{self.tokens}" if twice or where == node else f"o{self.tokens}-{n}"
                self.town.go(self.town.give_back(where, known, fen, token))
        self.town.pass_time(pause_us)

    @rule(
        kind=st.sampled_from(["callback-lost", "callback-late", "callback-duplicate", "callback-signature"]),
        delay_us=st.sampled_from([100_000, 900_000, 60_000_000, 1_000_000_000]),
        attempts=st.integers(0, 3),
    )
    def callbacks_go_wrong(self, kind, delay_us, attempts):
        self.town.fault(kind, delay_us=delay_us, attempts=attempts, copies=3)

    @rule(
        kind=st.sampled_from(["timeout", "timeout", "refuse", "callback-before-reply", "reply-signature"]),
        at=st.sampled_from(["prepay", "query", "close", "refund", "refund-query"]),
        after_commit=st.booleans(),
    )
    def the_gateway_goes_wrong(self, kind, at, after_commit):
        fields = {"at": (at,), "after_commit": after_commit}
        if kind == "callback-before-reply":
            fields = {"at": (at if at in {"prepay", "refund"} else "confirm",)}
        self.town.fault(kind, **fields)

    @rule(kind=st.sampled_from(["refund-closed", "refund-abnormal"]))
    def the_bank_goes_wrong(self, kind):
        self.town.fault(kind)

    @rule(which=WHICH, at=st.none() | st.integers(0, 3_000), pause_us=PAUSE_US)
    def somebody_sends_a_callback_again(self, which, at, pause_us):
        if self.town.post.kept:
            self.town.go(self.town.replay(which, at))
        self.town.pass_time(pause_us)

    @rule(node=NODE, fuse=st.integers(0, 12))
    def a_backend_will_die_at_a_transaction(self, node, fuse):
        self.town.nodes[node][1].fuse = fuse

    @rule(node=NODE, pause_us=PAUSE_US)
    def a_backend_dies(self, node, pause_us):
        self.town.kill(node)
        self.town.pass_time(pause_us)

    @rule(node=NODE, pause_us=PAUSE_US)
    def a_backend_comes_back(self, node, pause_us):
        self.town.revive(node)
        self.town.pass_time(pause_us)

    @rule(pause_us=PAUSE_US)
    def time_passes(self, pause_us):
        self.town.pass_time(pause_us)

    def teardown(self):
        town = self.town
        try:
            town.heal()
            found = town.judge()
            for order in town.gateway.ledger.orders:
                self.seen[str(order.state)] += 1
            self.seen.update(str(record.state) for record in town.gateway.refunds.refunds)
            assert not found, "\n".join(found)
        finally:
            town.kernel.close()


def machine(keys):
    return type("Machine", (MoneyMachine,), {"keys": keys, "seen": Counter(), "runs": 0})


def profile(examples, steps):
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


SLUGS = (
    "pay.duplicate-callbacks-have-one-effect",
    "pay.paid-after-close-is-not-lost",
    "rfd.refunds-never-exceed-paid",
    "inv.one-blue-invoice-per-sale",
)


@pytest.mark.requirement(*SLUGS)
def test_money_is_neither_taken_twice_nor_kept_nor_lost(keys):
    kind = machine(keys)
    run_state_machine_as_test(kind, settings=profile(7, 20))
    # It says nothing unless money moved both ways.
    assert kind.seen["SUCCESS"] > 1
    assert kind.seen["REFUND"] > 0


@pytest.mark.slow
@pytest.mark.timeout(2400)
@pytest.mark.requirement(*SLUGS)
@pytest.mark.parametrize("steps", [20, 50])
def test_money_is_neither_taken_twice_nor_kept_nor_lost_in_many_runs(keys, steps):
    kind = machine(keys)
    run_state_machine_as_test(
        kind, settings=profile(int(os.environ.get("FORECOURT_MONEY_RUNS", "250")), steps)
    )
    assert kind.seen["SUCCESS"] > kind.runs / 4
    assert kind.seen["REFUND"] > kind.runs / 8


# What the machine would find


async def _nothing(*_arguments, **_more):
    return 0


MUTANTS = {
    "a callback is applied each time": lambda core, _: setattr(core.payments, "is_applied", lambda _: False),
    "a closed refund is forgotten": lambda core, _: setattr(core.refunds, "_closed", _nothing),
    "what is not delivered is kept": lambda core, _: setattr(core.refunds, "give_back", _nothing),
    "a notice is believed unseen": lambda _, patch: patch.setattr(
        notices, "verify_reply", lambda *_, **__: None
    ),
}


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", MUTANTS)
def test_broken_the_machine_finds_it(keys, name, monkeypatch):
    build = Town._start

    def broken(town, node):
        app = build(town, node)
        MUTANTS[name](town.nodes[node][0].core, monkeypatch)
        return app

    monkeypatch.setattr(Town, "_start", broken)
    kind = machine(keys)
    only_find = settings(profile(150, 30), phases=[Phase.generate], report_multiple_bugs=False)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(kind, settings=only_find)


# The next morning


@pytest.mark.requirement("pay.reconciliation-finds-differences")
def test_the_next_mornings_bills_show_what_the_gateway_left_out_added_or_changed(keys):
    """Through the gateway's own API, at the declared hour; the bills' faults are the gateway's."""
    town = Town(keys, "bills", reconcile_at_s=10 * 3600 + 900)
    try:
        for number in range(8):
            town.wait(town.deliver("a", None, 1, 1_000 + number))
            town.wait(town.scan("a", 0, 1, "postpay", 0, False))
            known = town.orders[-1]
            town.wait(town.pay("b", known))
            town.wait(town.confirm("a", known))
            town.pass_time(2 * SECOND_US)
            town.wait(town.give_back("b", known, 300, f"r{number}"))
        for kind in ("bill-missing", "bill-extra", "bill-amount"):
            town.fault(kind, skip=2)
        town.heal()
        assert town.judge() == []
        town.kernel.run((26 * 3600 + 1800) * SECOND_US)
        shown = town.wait(town.call("a", "GET", "/v1/admin/reconciliations/2026-01-01", None, ADMIN)).json()
        landed = {name: counts["landed"] for name, counts in town.gateway.faults.report().items()}
        assert landed == {"f1": 1, "f2": 1, "f3": 1}
        assert [run["compared"] for run in shown["bills"]] == [24, 17]
        kinds = Counter((row["bill"], row["kind"]) for row in shown["differences"])
        assert kinds == {
            ("trade", "missing_there"): 1,
            ("trade", "missing_here"): 1,
            ("trade", "amount_differs"): 1,
        }
        alarms = town.wait(town.call("a", "GET", "/v1/admin/alarms", None, ADMIN)).json()["rows"]
        assert [row["subject"] for row in alarms] == ["trade bill of 2026-01-01"]
    finally:
        town.kernel.close()
