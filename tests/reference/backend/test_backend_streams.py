"""What a phone and a site see while they wait, and that the same seed gives the same identifiers."""

from __future__ import annotations

import asyncio
import json

import pytest

from reference.backend.events import order_events


async def collect(core, order, seen, done):
    async for chunk in order_events(core, order):
        name, _, data = chunk.decode().partition("\n")
        if name.startswith("event: "):
            seen.append((name[7:], json.loads(data.removeprefix("data: "))))
    done.set()


def test_the_stream_shows_each_state_and_the_live_amount_and_ends(play_sqlite):
    async def scene(w):
        order = await w.order()
        seen, done = [], asyncio.Event()
        stream = asyncio.create_task(collect(w.core, order, seen, done))

        async def settle_down():
            for _ in range(20):
                await asyncio.sleep(0)

        await settle_down()
        await w.answer_command("authorise")
        await settle_down()
        for volume_ml in (10, 2000, 2000, 3000):
            live = {
                "nozzle": 1,
                "state": "FUELLING",
                "volume_ml": volume_ml,
                "amount_fen": volume_ml * 781 // 1000,
            }
            await w.site("POST", "/nozzles/live", {"at_us": w.now_us, "nozzles": [live]}, status=204)
            await settle_down()
        await w.site("POST", "/sales", w.sale(order_id=order["order_id"]), status=201)
        await settle_down()
        asked = await w.pay(order)
        await settle_down()
        w.gateway.pay(asked["out_trade_no"])
        await w.notify(asked["out_trade_no"])
        await asyncio.wait_for(done.wait(), 5)
        await stream
        states = [data["state"] for name, data in seen if name == "order"]
        assert states == ["CREATED", "AUTHORISED", "FUELLING", "PAYABLE", "PAYING", "PAID"]
        assert [data["volume_ml"] for name, data in seen if name == "live"] == [10, 2000, 3000]
        assert w.database.hub._waiting == {}

    play_sqlite(scene)


def _reading(volume_ml, state="FUELLING"):
    return {"nozzle": 1, "state": state, "volume_ml": volume_ml, "amount_fen": volume_ml * 781 // 1000}


async def _settle_down():
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.mark.requirement("fd-met.live-values-grow-and-end-at-sale")
def test_a_paid_order_that_waits_for_its_invoice_shows_nothing_of_the_next_driver(play_sqlite):
    """The stream stays open for the invoice, and the nozzle is in use again: its figures are someone else's."""

    async def scene(w):
        await w.site("POST", "/sales", w.sale(), status=201)
        order = await w.order(invoice={"title_type": "INDIVIDUAL", "name": "张三"})
        asked = await w.pay(order)
        w.gateway.pay(asked["out_trade_no"])
        await w.notify(asked["out_trade_no"])
        order = await w.show(order)
        assert (order["state"], order["invoice"]["state"]) == ("PAID", "issuing")
        seen, done = [], asyncio.Event()
        stream = asyncio.create_task(collect(w.core, order, seen, done))
        await _settle_down()
        for volume_ml in (10, 2000):
            body = {"at_us": w.now_us, "nozzles": [_reading(volume_ml)]}
            await w.site("POST", "/nozzles/live", body, status=204)
            await _settle_down()
        w.core.stopping = True
        w.database.hub.wake_all()
        await asyncio.wait_for(done.wait(), 5)
        await stream
        assert [name for name, _ in seen] == ["order"]

    play_sqlite(scene)


@pytest.mark.requirement("fd-met.live-values-grow-and-end-at-sale")
@pytest.mark.parametrize("way", ["smaller", "overtaken", "out_of_reach"])
def test_figures_of_one_order_never_fall_on_its_phone(play_sqlite, way):
    """A site that starts again, a message of another instance that comes late, a pump whose line is cut."""

    async def scene(w):
        order = await w.order()
        seen, done = [], asyncio.Event()
        stream = asyncio.create_task(collect(w.core, order, seen, done))
        await _settle_down()
        await w.answer_command("authorise")
        for volume_ml in (2000, 3000):
            w.now_us += 500_000
            body = {"at_us": w.now_us, "nozzles": [_reading(volume_ml)]}
            await w.site("POST", "/nozzles/live", body, status=204)
            await _settle_down()
        if way == "overtaken":
            # Another process heard this before the second post, and its message is here only now.
            w.database.hub.publish("live/KM01/1", [1, "FUELLING", 2500, 1952, w.now_us - 250_000, w.now_us])
        else:
            w.now_us += 500_000
            reading = _reading(0) if way == "smaller" else _reading(3000, state="OFFLINE")
            body = {"at_us": w.now_us, "nozzles": [reading]}
            await w.site("POST", "/nozzles/live", body, status=204)
        await _settle_down()
        shown = [data["volume_ml"] for name, data in seen if name == "live"]
        assert shown[:2] == [2000, 3000]
        assert shown == sorted(shown)
        if way == "out_of_reach":
            assert (await w.show(order))["volume_ml"] == 3000
        w.core.stopping = True
        w.database.hub.wake_all()
        await asyncio.wait_for(done.wait(), 5)
        await stream

    play_sqlite(scene)


@pytest.mark.requirement("fd-met.live-values-grow-and-end-at-sale")
def test_a_phone_that_dials_again_is_not_shown_zero_while_the_pump_is_out_of_reach(play_sqlite):
    """The delivery has ended and its sale is on its way, but the line is not yet said to be up again."""

    async def scene(w):
        order = await w.order()
        await w.answer_command("authorise")
        for reading in (_reading(3000), _reading(0, state="OFFLINE")):
            w.now_us += 500_000
            body = {"at_us": w.now_us, "nozzles": [reading | {"amount_fen": reading["volume_ml"] // 2}]}
            await w.site("POST", "/nozzles/live", body, status=204)
        seen, done = [], asyncio.Event()
        stream = asyncio.create_task(collect(w.core, order, seen, done))
        await _settle_down()
        w.core.stopping = True
        w.database.hub.wake_all()
        await asyncio.wait_for(done.wait(), 5)
        await stream
        assert [name for name, _ in seen] == ["order"]

    play_sqlite(scene)


def test_stopping_ends_long_polls_and_streams(play_sqlite):
    async def scene(w):
        order = await w.order()
        seen, done = [], asyncio.Event()
        stream = asyncio.create_task(collect(w.core, order, seen, done))
        poll = asyncio.create_task(w.site("GET", "/commands?after=9&wait_ms=30000", status=200))
        for _ in range(20):
            await asyncio.sleep(0)
        w.core.stopping = True
        w.database.hub.wake_all()
        assert await asyncio.wait_for(poll, 5) == {"commands": []}
        await asyncio.wait_for(done.wait(), 5)
        await stream

    play_sqlite(scene)


def test_a_late_reading_does_not_go_back(play_sqlite):
    async def scene(w):
        for at_us, volume_ml in ((w.now_us, 2000), (w.now_us - 1, 1000)):
            live = {"nozzle": 1, "state": "FUELLING", "volume_ml": volume_ml, "amount_fen": 0}
            await w.site("POST", "/nozzles/live", {"at_us": at_us, "nozzles": [live]}, status=204)
        w.now_us += 700_000
        shown = await w.call("GET", "/v1/stations/KM01", status=200)
        assert shown["nozzles"][0]["live"] == {
            "state": "FUELLING",
            "volume_ml": 2000,
            "amount_fen": 0,
            "age_us": 700_000,
        }

    play_sqlite(scene)


def test_same_seed_same_run(play_sqlite):
    runs = []

    async def scene(w):
        await w.paid_order(invoice={"title_type": "INDIVIDUAL", "name": "张三"})
        await w.run_due(later_s=3)
        tables = ("ledger", "orders", "payments", "invoices", "outbox")
        runs.append(json.dumps([await w.admin(name) for name in tables]))

    for seed in (1, 1, 2):
        play_sqlite(scene, seed=seed)
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_bad_input_is_told_with_its_field(play_sqlite):
    async def scene(w):
        sale = w.sale()
        for body, field in (
            ({**sale, "volume_ml": -1}, "volume_ml"),
            ({**sale, "volume_ml": 1.5}, "volume_ml"),
            ({**sale, "sequence": 2**60}, "sequence"),
            ({**sale, "order_id": "x" * 99}, "order_id"),
        ):
            refused = await w.site("POST", "/sales", body, status=422)
            assert (refused["code"], refused["field"]) == ("invalid", field)
        refused = await w.order(mode="prepay", status=422)
        assert "preset" in refused["message"]
        refused = await w.order(invoice={"title_type": "ORGANIZATION", "name": "公司"}, status=422)
        assert refused["field"] == "invoice"
        await w.call("POST", "/v1/stations/KM01/sales", sale, status=401)
        await w.call("POST", "/v1/stations/KM01/sales", sale, key="station-key-of-km02", status=401)
        await w.call("GET", "/v1/admin/ledger", key="station-key-of-km01", status=401)
        huge = {"at_us": 1, "nozzles": [], "padding": "x" * 300_000}
        await w.site("POST", "/nozzles/live", huge, status=413)

    play_sqlite(scene)


def test_a_phone_that_dials_again_after_the_end_is_told_to_stop(play_sqlite):
    """An EventSource takes the end of a stream for a lost connection; 204 alone stops it."""

    async def scene(w):
        order = await w.order()
        path = f"/v1/orders/{order['order_id']}/events"
        phone = {"Authorization": f"Bearer {w.tokens['zhang-real']}"}
        await w.phone("POST", f"/{order['order_id']}/cancel", status=200)
        await w.answer_command("cancel")
        heard = await w.clients[0].get(path, headers=phone)
        (last,) = [line for line in heard.text.splitlines() if line.startswith("id: ")]
        again = await w.clients[0].get(path, headers={**phone, "Last-Event-ID": last.removeprefix("id: ")})
        assert (again.status_code, again.content) == (204, b"")
        other = await w.clients[0].get(path, headers={**phone, "Last-Event-ID": "another"})
        assert other.text == heard.text

    play_sqlite(scene)
