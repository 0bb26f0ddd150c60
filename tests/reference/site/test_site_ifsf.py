"""The IFSF driver against the dispenser node: start-up, sales, prices, what a line may be."""

from __future__ import annotations

import pytest

from protocols.ifsf import Address, Heartbeat, MessageKind, NodeMachine
from reference.site.config import ConfigError, parse_config
from reference.site.pumps.events import (
    Authorised,
    AuthoriseRefused,
    DeliveryVoid,
    LineUp,
    LiveAmount,
    NozzleLifted,
    PointState,
    PriceSet,
)
from reference.site.pumps.ifsf.driver import IfsfDriver

from .ifsf_bench import Bench, S, line_config


def test_start_up_reads_everything_before_it_commands_anything() -> None:
    bench = Bench(2)
    bench.run(3)
    said = bench.said()
    assert (said[0].database, said[0].elements[0].data_id) == (b"\x00", 11)
    pump_writes = [
        at for at, one in enumerate(said) if one.kind is MessageKind.WRITE and one.database != b"\x00"
    ]
    reads = [one.database.hex() for one in said[: pump_writes[0]] if one.kind is MessageKind.READ]
    assert {"21", "22", "21200000", "22200000", "2111", "2112", "2211", "2212", "40"} <= set(reads)
    order = [one.database.hex() for one in said if one.kind is MessageKind.WRITE]
    shape = list(dict.fromkeys(database[:2] for database in order))
    assert shape == ["00", "01", "41", "42", "81", "82", "83", "84", "21", "22", "61"]
    assert (
        order.index("01")
        < order.index("41")
        < order.index("81")
        < order.index("2111")
        < order.index("610000009211")
    )
    opened = [at for at, one in enumerate(said) if one.elements[:1] and one.elements[0].data_id == 60]
    prices = [at for at, one in enumerate(said) if one.database[0] == 0x61 and one.elements]
    assert max(prices[:2]) < min(opened)
    assert [fp.state for fp in bench.fps] == [3, 3]
    assert [event.fuelling_point for event in bench.told(LineUp)] == [1, 2]
    assert [(fp.nozzles[1].price_fen_per_l, fp.nozzles[2].price_fen_per_l) for fp in bench.fps] == [
        (869, 870)
    ] * 2
    assert bench.driver.refusals == 4  # the meters: the maker fixes them
    assert bench.node.store.recipients == [Address(2, 1)]


def test_a_fill_from_lift_to_sale() -> None:
    bench = Bench()
    bench.preset_fen = 5_000
    bench.car(2, nozzle=2)
    bench.run(60)
    kinds = [type(event).__name__ for event in bench.events if not isinstance(event, LiveAmount)]
    assert [kind for kind in kinds if kind not in {"StateChanged", "PriceSet", "TotalsRead"}] == [
        "LineUp",
        "NozzleLifted",
        "Authorised",
        "SaleCaptured",
        "NozzleReturned",
    ]
    (sale,) = bench.sales
    assert (sale.nozzle, sale.price_fen_per_l, sale.flags) == (12, 870, ())
    assert sale.amount_fen <= 5_000
    assert sale.ended_us - sale.started_us > 5 * S
    live = bench.told(LiveAmount)
    assert len(live) > 20
    assert [event.volume_ml for event in live] == sorted(event.volume_ml for event in live)
    assert live[-1].volume_ml <= sale.volume_ml
    bench.check_books()
    said = bench.said()
    cleared = next(one for one in said if one.database.hex() == "21210001")
    assert [element.data_id for element in cleared.elements] == [31, 30]


def test_a_sale_is_cleared_only_when_it_is_stored() -> None:
    bench = Bench()
    bench.refuse_sales = 3
    bench.car(2)
    bench.run(24.5)
    assert bench.sales == []
    assert len(bench.node.points[1].buffer) == 1
    bench.run(40)
    assert len(bench.sales) == 1
    bench.check_books()


def test_the_next_lift_is_told_after_the_sale_before_is_stored() -> None:
    bench = Bench()
    bench.refuse_sales = 5
    bench.car(2, 5)
    bench.at(9.1, bench.fp.lift, 1)
    bench.run(30)
    told = [type(event).__name__ for event in bench.events]
    first = told.index("NozzleLifted")
    assert told.index("NozzleLifted", first + 1) > len(told) - 1 - told[::-1].index("SaleCaptured")
    assert len(bench.sales) == 1


def test_an_authorisation_that_is_not_used_is_void() -> None:
    bench = Bench()
    bench.at(2, bench.fp.lift, 1)
    bench.at(5, bench.fp.hang_up)
    bench.run(10)
    assert len(bench.told(Authorised)) == len(bench.told(DeliveryVoid)) == 1
    assert bench.sales == []
    assert bench.driver.status(1).state is PointState.IDLE
    assert not bench.driver.status(1).settling


def test_a_nozzle_up_and_down_in_an_instant_gets_nothing() -> None:
    bench = Bench()
    bench.at(2, bench.fp.lift, 1)
    bench.at(2.0007, bench.fp.hang_up)
    bench.run(10)
    assert bench.fp.state == 3
    assert bench.driver.status(1).state is PointState.IDLE
    assert bench.driver.authorise(1, 11)  # not stuck


def test_stop_ends_the_delivery() -> None:
    bench = Bench()
    bench.car(2, 60)
    bench.run(10)
    assert bench.driver.status(1).delivering == 11
    assert bench.driver.stop(1)
    bench.run(12)
    assert bench.fp.state == 3
    assert len(bench.sales) == 1
    bench.check_books()
    assert not bench.driver.stop(1)


def test_release_that_is_refused_is_told_with_its_reason() -> None:
    bench = Bench(unpaid_limit=1)
    bench.serves = False
    bench.run(2)
    assert bench.driver.authorise(1, 11, preset_fen=1)  # less than a pulse
    bench.run(3)
    (refused,) = bench.told(AuthoriseRefused)
    assert "refuses Release (6)" in refused.reason
    assert bench.driver.authorise(1, 11)
    assert not bench.driver.authorise(1, 11)
    bench.run(4)
    assert bench.fp.state == 3  # authorised without a lift: taken back at once
    assert not bench.driver.authorise(1, 99)


def test_prices_change_between_deliveries_and_are_read_back() -> None:
    bench = Bench(2)
    bench.car(2, 20)
    bench.run(10)
    assert bench.driver.set_prices(1, {11: 700, 12: 750})
    assert bench.driver.set_prices(2, {21: 700, 22: 750})
    assert not bench.driver.set_prices(1, {21: 700})
    bench.run(40)
    assert [
        (event.nozzle, event.price_fen_per_l, event.confirmed) for event in bench.told(PriceSet)[-4:]
    ] == [
        (21, 700, True),
        (22, 750, True),
        (11, 700, True),
        (12, 750, True),
    ]
    assert bench.sales[0].price_fen_per_l == 869
    assert [nozzle.price_fen_per_l for fp in bench.fps for nozzle in fp.nozzles.values()] == [700, 750] * 2
    assert bench.driver.set_prices(1, {11: 9_999_99})
    bench.run(60)
    assert bench.told(PriceSet)[-1].confirmed is False


@pytest.mark.parametrize("address", [0x20, 0x25, 1])
def test_an_address_that_is_no_fuelling_point_is_refused(address: int) -> None:
    station = {"station": "KM01", "lines": [line_config().model_dump(mode="json")]}
    station["lines"][0]["fuelling_points"][0]["address"] = address  # type: ignore[index]
    with pytest.raises(ConfigError, match=r"lines\.0: .*IFSF"):
        parse_config(station)


def test_it_is_a_node_machine() -> None:
    machine: NodeMachine = IfsfDriver(line_config())
    assert machine.dial is None
    assert not machine.wants_close


def test_what_real_dispensers_do_against_the_rules_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A nozzle bit that is always set, the state in the heartbeat, status messages to nobody: it works, with warnings."""
    bench = Bench()
    monkeypatch.setattr(type(bench.node.points[1]), "nozzle_bits", property(lambda _self: b"\x01"))
    bench.run(2)
    status = "000001010080000e01216400140103150101160200 00".replace(" ", "")
    bench.driver.receive_data(bytes.fromhex(status), bench.kernel.now_us)
    bench.car(3, 10)
    bench.car(30, 10)
    bench.run(60)
    bench.check_books()
    assert len(bench.sales) == len(bench.told(NozzleLifted)) == 2
    assert bench.driver.device.link.counts == {"ifsf-status-to-nobody": 1}
    bench.restart()
    bench.node.link.status = 3
    beat = Heartbeat("127.0.0.1", 8802, Address(1, 1), 3).encode()
    bench.driver.receive_datagram(beat, bench.kernel.now_us)
    assert bench.driver.device.link.counts == {"ifsf-status-is-state": 1}
