"""The Two-Wire driver against a pump made by hand from the published layouts: nothing of protocols.twowire is used."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

import pytest

from reference.site.config import LineConfig
from reference.site.pumps.events import (
    Authorised,
    AuthoriseRefused,
    DeliveryVoid,
    LiveAmount,
    NozzleLifted,
    PointState,
    PriceSet,
    SaleCaptured,
    TotalsRead,
)
from reference.site.pumps.twowire.driver import TwoWireDriver

S = 1_000_000
MS = 1_000


def check(words: list[int]) -> int:
    return 0xE0 + (16 - sum(word % 16 for word in words) % 16) % 16


def least_first(value: int, count: int) -> list[int]:
    return [0xE0 + int(digit) for digit in reversed(str(value).zfill(count))]


class Pump:
    """Pump 3 with two grades. Volumes in ml, money in fen; driven by hand from the tests."""

    def __init__(self) -> None:
        self.status = 6
        self.nozzle = 0
        self.prices = [750, 800]
        self.totals = [[1_000, 7_500], [2_000, 16_000]]  # units of 10 ml, fen
        self.sale = [1, 750, 0, 0]  # grade, price, ml, fen
        self.money = 0
        self.preset = 0
        self.heard: list[tuple[int, str]] = []
        self.waiting = bytearray()
        self.in_data = False
        self.data_error = False
        self.refuse_2p = 0
        self.ignore_1p = 0
        self.spoil_presets = 0  # so many presets arrive damaged
        self.money_lies: list[int] = []
        self.spoil_transactions = 0  # so many transactions go out damaged
        self.late_totals = False
        self.lies: list[int] = []  # answers to the next status polls

    # -- the customer ----------------------------------------------------------------------------------------

    def lift(self, nozzle: int) -> None:
        self.nozzle, self.status, self.money = nozzle, 7, 0

    def flow(self, ml: int) -> None:
        assert self.status in {8, 9}, "no fuel without an authorisation"
        self.status = 9
        self.money = (ml * self.prices[self.nozzle - 1] + 500) // 1000

    def hang_up(self, ml: int = 0) -> None:
        if self.status in {9, 12}:
            self.flow_ended(ml)
            self.status = 10
        else:
            self.status = 6
        self.nozzle = 0

    def flow_ended(self, ml: int) -> None:
        price = self.prices[self.nozzle - 1]
        self.sale = [self.nozzle, price, ml, (ml * price + 500) // 1000]
        if not self.late_totals:
            self.totals[self.nozzle - 1][0] += ml // 10
            self.totals[self.nozzle - 1][1] += self.sale[3]

    # -- the line --------------------------------------------------------------------------------------------

    def answer(self, data: bytes, now_us: int) -> bytes:
        return b"".join(self.byte(byte, now_us) for byte in data)

    def byte(self, byte: int, now_us: int) -> bytes:
        if self.in_data and byte >= 0xE0:
            self.waiting.append(byte)
            return self.block(now_us) if byte == 0xF0 else b""
        if byte % 16 != 3 or byte >> 4 > 6:
            return b""
        self.in_data = False
        self.heard.append((now_us, f"{byte >> 4}p"))
        answers = (
            self.told,
            self.authorised,
            self.ready,
            self.stopped,
            self.transaction,
            self.all_totals,
            self.running_money,
        )
        return answers[byte >> 4]()

    def told(self) -> bytes:
        if self.lies:
            return bytes((self.lies.pop(0) * 16 + 3,))
        told, self.data_error = (0 if self.data_error else self.status), False
        return bytes((told * 16 + 3,))

    def authorised(self) -> bytes:
        if self.ignore_1p:
            self.ignore_1p -= 1
        elif self.status in {6, 7}:
            self.status = 8
        return b""

    def ready(self) -> bytes:
        if self.refuse_2p:
            self.refuse_2p -= 1
            return b""
        self.in_data = True
        self.waiting.clear()
        return b"\xd3"

    def stopped(self) -> bytes:
        self.status = {8: 6, 9: 12}.get(self.status, self.status)
        return b""

    def all_totals(self) -> bytes:
        words = [0xFF]
        for grade, ((volume, money), price) in enumerate(zip(self.totals, self.prices, strict=True)):
            words += [0xF6, 0xE0 + grade, 0xF9, *least_first(volume, 8), 0xFA, *least_first(money, 8)]
            words += [0xF4, *least_first(price, 4), 0xF5, *least_first(price, 4)]
        words.append(0xFB)
        return bytes([*words, check(words), 0xF0])

    def running_money(self) -> bytes:
        return bytes(least_first(self.money_lies.pop() if self.money_lies else self.money, 6))

    def transaction(self) -> bytes:
        grade, price, ml, fen = self.sale
        if self.status in {10, 11}:
            self.status = 7 if self.nozzle else 6
        words = [0xFF, 0xF1, 0xF8, 0xEB, 0xE2, 0xE0, 0xE0, 0xE2, 0xF6, 0xE0 + grade - 1, 0xF4]
        words += [0xF7, *least_first(price, 4), 0xF9, *least_first(ml, 6), 0xFA, *least_first(fen, 6), 0xFB]
        whole = bytearray([*words, check(words), 0xF0])
        if self.spoil_transactions:
            self.spoil_transactions -= 1
            whole[18] ^= 1
        return bytes(whole)

    def block(self, now_us: int) -> bytes:
        self.in_data = False
        words = list(self.waiting)
        if self.spoil_presets and words[2] in {0xF1, 0xF2}:
            self.spoil_presets -= 1
            words[-4] ^= 1
        good = (
            words[0] == 0xFF and words[-2] == check(words[:-2]) and words[1] == 0xE0 + (18 - len(words)) % 16
        )
        if not good:
            self.data_error = True
            self.heard.append((now_us, "bad block"))
            return b""
        body = words[2:-3]
        if body == [0xFE, 0xE0, 0xE1, 0xE0]:
            self.heard.append((now_us, "nozzle?"))
            if self.status not in {7, 9, 12}:
                return b""
            digits = "0330100001" + "0" + ("1" if self.nozzle else "0") + "1" + str(self.nozzle)
            total = sum(int(digits[at : at + 2], 16) for at in range(0, 14, 2))
            return bytes(ord(c) + 128 for c in f":{digits}{-total & 0xFF:02X}\r\n")
        value = (
            int("".join(str(word - 0xE0) for word in reversed(body[body.index(0xF8) + 1 :])))
            if 0xF8 in body
            else 0
        )
        if body[0] == 0xF2:
            self.preset = value
        elif body[0] == 0xF1:
            self.preset = -value
        else:
            assert body[:2] == [0xF4, 0xF6]
            self.prices[body[2] - 0xE0] = int("".join(str(word - 0xE0) for word in reversed(body[4:])))
        self.heard.append((now_us, f"block {body[0]:X} {value}"))
        return b""


class Rig:
    """Driver and pump with 3 ms on the way there and 9 ms back."""

    def __init__(self, **config) -> None:
        self.config = LineConfig.model_validate(
            {
                "protocol": "twowire",
                "baud": 5787,
                "period_us": 250_000,
                "fuelling_points": [
                    {
                        "fuelling_point": 7,
                        "address": 3,
                        "nozzles": [
                            {"nozzle": 20 + n, "logical": n, "grade": "92", "price_fen_per_l": price}
                            for n, price in ((1, 750), (2, 800))
                        ],
                    }
                ],
                **config,
            }
        )
        self.driver = TwoWireDriver(self.config)
        self.driver.listener = self.hear
        self.pump = Pump()
        self.events: list[object] = []
        self.policy = True
        self.preset_fen: int | None = None
        self.now_us = 0
        self.spoken: list[tuple[int, bytes]] = []
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._order = 0

    def hear(self, event) -> None:
        self.events.append(event)
        if isinstance(event, NozzleLifted) and self.policy:
            assert self.driver.authorise(7, event.nozzle, preset_fen=self.preset_fen)

    def of(self, kind):
        return [event for event in self.events if isinstance(event, kind)]

    def sales(self):
        return [(sale.nozzle, sale.volume_ml, sale.amount_fen, sale.flags) for sale in self.of(SaleCaptured)]

    def at(self, at_us: int, action: Callable[[], None]) -> None:
        self._order += 1
        heapq.heappush(self._queue, (at_us, self._order, action))

    def service(self) -> None:
        for out in self.driver.data_to_send(self.now_us):
            start_us = max(self.now_us, out.not_before_us)
            self.spoken.append((start_us, out.data))
            self.at(start_us + 3 * MS, lambda data=out.data: self.to_pump(data))

    def to_pump(self, data: bytes) -> None:
        back = self.pump.answer(data, self.now_us)
        if back:
            self.at(self.now_us + 9 * MS, lambda: self.to_driver(back))

    def to_driver(self, data: bytes) -> None:
        self.driver.receive_data(data, self.now_us)
        self.service()

    def run(self, seconds: float) -> None:
        end_us = self.now_us + round(seconds * S)
        while True:
            timer_us = self.driver.next_timer()
            due = [
                at_us for at_us in (timer_us, self._queue[0][0] if self._queue else None) if at_us is not None
            ]
            if not due or min(due) > end_us:
                break
            self.now_us = max(self.now_us, min(due))
            if self._queue and self._queue[0][0] <= self.now_us:
                heapq.heappop(self._queue)[2]()
            else:
                self.driver.handle_timer(self.now_us)
                self.service()
        self.now_us = end_us

    def fill(self, ml=20_000, nozzle=1) -> None:
        self.pump.lift(nozzle)
        self.run(5)
        for part in range(1, 9):
            self.pump.flow(ml * part // 8)
            self.run(2)
        self.pump.hang_up(ml)
        self.run(6)


@pytest.fixture
def rig() -> Rig:
    rig = Rig()
    rig.run(6)
    rig.pump.heard.clear()
    return rig


def test_a_sale(rig):
    rig.fill(20_000, nozzle=2)
    assert rig.sales() == [(22, 20_000, 16_000, ())]
    sale = rig.of(SaleCaptured)[0]
    assert (sale.end_total_volume_ml, sale.end_total_amount_fen) == (40_000, 32_000)
    shown = [event.amount_fen for event in rig.of(LiveAmount)]
    assert shown == [2_000 * part for part in range(1, 9)]
    told = [what for _, what in rig.pump.heard if what not in {"0p", "6p"}]
    # No preset may be left from before, so the first sale begins with a cancel.
    assert told == ["2p", "nozzle?", "2p", "block F1 0", "1p", "4p", "5p"]


def test_a_preset_goes_in_before_the_authorisation(rig):
    rig.preset_fen = 5_000
    rig.fill(6_250)
    told = [what for _, what in rig.pump.heard if what not in {"0p", "6p"}]
    assert told == ["2p", "nozzle?", "2p", "block F2 5000", "1p", "4p", "5p"]
    assert rig.pump.preset == 5_000


def test_no_authorisation_follows_a_preset_that_did_not_arrive(rig):
    """A damaged preset and then 1p would be a delivery without a limit."""
    rig.preset_fen = 5_000
    rig.pump.spoil_presets = 1
    rig.pump.lift(1)
    rig.run(12)
    told = [what for _, what in rig.pump.heard if what not in {"0p", "6p"}]
    bad = told.index("bad block")
    assert told[bad:] == ["bad block", "2p", "block F2 5000", "1p"]
    twice = [at_us for at_us, what in rig.pump.heard if what == "2p"]
    assert twice[-1] - twice[-2] >= 2 * S
    assert len(rig.of(Authorised)) == 1


def test_2p_without_an_answer_is_repeated_after_two_seconds_only(rig):
    rig.pump.refuse_2p = 2
    rig.pump.lift(1)
    rig.run(25)
    tries = [at_us for at_us, what in rig.pump.heard if what == "2p"]
    assert len(tries) >= 3
    assert all(later - earlier >= 2 * S for earlier, later in itertools.pairwise(tries[:3]))


def test_an_authorisation_that_is_not_obeyed_is_repeated_then_refused(rig):
    rig.pump.ignore_1p = 1
    rig.pump.lift(1)
    rig.run(8)
    assert len(rig.of(Authorised)) == 1
    rig.pump.hang_up()
    rig.run(5)
    assert len(rig.of(DeliveryVoid)) == 1
    rig.pump.ignore_1p = 99
    rig.pump.lift(1)
    rig.run(20)
    assert "stays in" in rig.of(AuthoriseRefused)[0].reason
    assert rig.driver.status(7).state is PointState.CALLING
    assert rig.sales() == []


@pytest.mark.parametrize("times", [1, 3])
def test_a_damaged_transaction_is_read_again_though_the_pump_has_let_it_go(rig, times):
    rig.pump.spoil_transactions = times
    rig.fill(20_000)
    rig.run(10)
    assert rig.sales() == [(21, 20_000, 15_000, ())]
    assert rig.driver.bad_answers == times


def test_a_status_that_was_misread_once_changes_nothing(rig):
    rig.pump.lift(1)
    rig.run(4)
    rig.pump.flow(5_000)
    rig.run(2)
    before = len(rig.events)
    for lie in (10, 6, 8, 12, 7):
        rig.pump.lies = [lie]
        rig.run(1)
    assert rig.driver.status(7).state is PointState.FUELLING
    assert len(rig.events) == before
    assert "4p" not in {what for _, what in rig.pump.heard}
    rig.pump.hang_up(5_000)
    rig.run(5)
    assert rig.sales() == [(21, 5_000, 3_750, ())]


def test_an_end_that_was_misread_again_and_again_sells_nothing_and_the_delivery_goes_on(rig):
    """The head answers 4p with the delivery before, and the totals stand still: that is no sale."""
    rig.fill(9_000)
    rig.pump.lift(1)
    rig.run(4)
    rig.pump.flow(5_000)
    rig.run(2)
    rig.pump.lies = [10] * 60
    rig.run(6)
    rig.pump.lies.clear()
    rig.run(4)
    assert len(rig.sales()) == 1
    rig.pump.flow(8_000)
    rig.run(3)
    rig.pump.hang_up(8_000)
    rig.run(6)
    assert rig.sales() == [(21, 9_000, 6_750, ()), (21, 8_000, 6_000, ())]


@pytest.mark.parametrize("nozzle", [0, 1])
def test_an_authorisation_that_nobody_asked_for_is_taken_back(rig, nozzle):
    """One flipped bit makes 1p out of the poll 0p."""
    rig.policy = False
    if nozzle:
        rig.pump.lift(nozzle)
        rig.run(2)
    rig.pump.byte(0x13, rig.now_us)
    assert rig.pump.status == 8
    rig.run(3)
    assert rig.pump.status == 6
    assert rig.sales() == []


def test_running_money_that_no_hose_can_make_is_not_shown(rig):
    rig.pump.lift(1)
    rig.run(4)
    rig.pump.flow(1_000)
    rig.run(1)
    rig.pump.money_lies = [999_999]
    rig.pump.flow(1_500)
    rig.run(2)
    assert rig.driver.status(7).amount_fen == 1_125
    assert max(event.amount_fen for event in rig.of(LiveAmount)) == 1_125


def test_totals_that_lag_are_read_until_they_have_caught_up(rig):
    rig.pump.late_totals = True
    rig.pump.lift(2)
    rig.run(5)
    rig.pump.flow(10_000)
    rig.run(3)
    rig.pump.hang_up(10_000)
    rig.run(1.2)
    rig.pump.totals[1][0] += 1_000
    rig.pump.totals[1][1] += 8_000
    rig.run(6)
    assert rig.sales() == [(22, 10_000, 8_000, ())]


def test_a_sale_that_only_the_totals_know_of(rig):
    """Between two polls of a long silence a whole delivery happened, and another one after it hides it."""
    rig.pump.totals[0][0] += 500
    rig.pump.totals[0][1] += 3_750
    rig.fill(10_000)
    assert rig.sales() == [
        (21, 5_000, 3_750, ("reconstructed",)),
        (21, 10_000, 7_500, ()),
    ]


def test_the_price_is_read_back_a_second_later(rig):
    rig.pump.heard.clear()
    assert rig.driver.set_prices(7, {22: 815})
    rig.run(5)
    sent_us = next(at_us for at_us, what in rig.pump.heard if what == "block F4 0")
    read_us = next(at_us for at_us, what in rig.pump.heard if what == "5p")
    assert read_us - sent_us >= S
    assert rig.pump.prices == [750, 815]
    assert [(e.nozzle, e.price_fen_per_l, e.confirmed) for e in rig.of(PriceSet)] == [(22, 815, True)]


@pytest.mark.requirement("fd-link.minimum-command-spacing")
def test_the_line_is_given_its_silences(rig):
    rig.preset_fen = 5_000
    rig.fill(20_000)
    rig.driver.set_prices(7, {21: 760})
    rig.run(5)
    for (start_us, data), (next_us, _) in zip(rig.spoken, rig.spoken[1:], strict=False):
        assert next_us - start_us >= 10 * MS
        if data[0] >> 4 in {1, 3} or data[0] == 0xFF:
            assert next_us - start_us >= 68 * MS or b"\xfe" in data
    polls = [at_us for at_us, data in rig.spoken if data == b"\x03"]
    assert max(later - earlier for earlier, later in itertools.pairwise(polls)) <= 1_000 * MS


def test_after_a_start_everything_is_read_before_anything_is_commanded():
    rig = Rig()
    rig.pump.status, rig.pump.nozzle = 7, 1
    rig.run(8)
    told = [what for _, what in rig.pump.heard if what not in {"0p", "6p"}]
    assert told[:4] == ["2p", "nozzle?", "4p", "5p"]
    assert {event.nozzle for event in rig.of(TotalsRead)} == {21, 22}
    assert told.index("1p") > told.index("5p")
