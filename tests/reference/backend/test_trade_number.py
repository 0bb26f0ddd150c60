from __future__ import annotations

import multiprocessing
import random
import re
from pathlib import Path

import numpy as np
import pytest

from reference.backend import TradeNumberError, TradeNumbers

NOW_US = 1_767_225_600_000_000


def numbers(seed: int = 1, key: bytes = b"service-secret", now_us: int = NOW_US) -> TradeNumbers:
    rng = random.Random(seed)
    return TradeNumbers(key, lambda: now_us, rng.getrandbits)


@pytest.mark.requirement("pay.trade-number-unique-and-checked")
def test_a_hundred_thousand_numbers_of_one_frozen_instant_are_all_different():
    maker = numbers()
    made = {maker.make("station-key", f"KM01/{n % 64}") for n in range(100_000)}
    assert len(made) == 100_000


def node_of_four(node: int, count: int, path: Path) -> None:
    """One backend's share of a chain's peak, 3,000 numbers a second, kept as rows of 32 characters."""
    rng, clock = random.Random(f"node {node}"), iter(range(NOW_US, NOW_US + count * 333, 333))
    maker = TradeNumbers(b"service-secret", lambda: next(clock), rng.getrandbits)
    made = np.empty(count, dtype="S32")
    for n in range(count):
        made[n] = maker.make("station-key", f"KM01/{n % 16}").encode()
    np.save(path, made)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.requirement("pay.trade-number-unique-and-checked")
def test_ten_million_numbers_of_four_nodes_are_all_different(tmp_path):
    count = 2_500_000
    paths = [tmp_path / f"{node}.npy" for node in range(4)]
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        pool.starmap(node_of_four, [(node, count, path) for node, path in enumerate(paths)])
    made = np.sort(np.concatenate([np.load(path) for path in paths]))
    assert len(made) == 4 * count
    assert int(np.count_nonzero(made[1:] == made[:-1])) == 0


def test_it_fits_the_narrowest_field_of_every_platform():
    made = numbers().make("station-key", "KM01/3")
    assert re.fullmatch(r"[0-9A-Za-z]{32}", made)


def test_it_tells_its_time_and_device():
    maker = numbers()
    number = maker.parse_for(maker.make("station-key", "KM01/3"), "station-key", "KM01/3")
    assert number.made_ms == NOW_US // 1000
    assert number.device == maker.fingerprint("station-key", "KM01/3")


def test_every_single_changed_character_is_refused():
    maker = numbers()
    made = maker.make("station-key", "KM01/3")
    refused = 0
    for place, letter in enumerate(made):
        for other in "A7K":
            if other == letter:
                continue
            with pytest.raises(TradeNumberError):
                maker.parse(made[:place] + other + made[place + 1 :])
            refused += 1
    assert refused > 60


@pytest.mark.parametrize("text", ["", "A" * 31, "A" * 33, "a" * 32, "0" * 32, "A" * 31 + "\n", None, 5])
def test_what_is_no_number_is_refused(text):
    with pytest.raises(TradeNumberError):
        numbers().parse(text)


def test_another_services_number_is_refused():
    made = numbers(key=b"another-service").make("station-key", "KM01/3")
    with pytest.raises(TradeNumberError, match="check"):
        numbers().parse(made)


@pytest.mark.parametrize(("key", "device"), [("station-key", "KM01/4"), ("other-key", "KM01/3")])
def test_another_devices_number_is_refused(key, device):
    maker = numbers()
    made = maker.make("station-key", "KM01/3")
    with pytest.raises(TradeNumberError, match="device"):
        maker.parse_for(made, key, device)


@pytest.mark.requirement("clk.backward-step-keeps-order")
def test_the_clock_may_step_back():
    rng = random.Random(1)
    clock = iter([NOW_US, NOW_US - 3_600_000_000])
    maker = TradeNumbers(b"k", lambda: next(clock), rng.getrandbits)
    first, second = maker.make("s", "d"), maker.make("s", "d")
    assert first != second
    assert maker.parse(second).made_ms < maker.parse(first).made_ms


def test_same_seed_same_number():
    assert numbers(7).make("s", "d") == numbers(7).make("s", "d")
    assert numbers(7).make("s", "d") != numbers(8).make("s", "d")


PARTS = {"time": (0, 9), "device": (9, 16), "salt": (16, 27), "check": (27, 32)}
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


@pytest.mark.requirement("sec.trade-number-tamper-is-detected")
@pytest.mark.parametrize("part", PARTS)
def test_each_part_changed_in_every_way_is_refused(part):
    maker = numbers()
    made = maker.make("station-key", "KM01/3")
    start, end = PARTS[part]
    for place in range(start, end):
        for letter in ALPHABET:
            if letter != made[place]:
                with pytest.raises(TradeNumberError):
                    maker.parse(made[:place] + letter + made[place + 1 :])
    rng = random.Random(part)
    for _ in range(300):  # the whole part anew
        changed = made[:start] + "".join(rng.choice(ALPHABET) for _ in range(end - start)) + made[end:]
        if changed != made:
            with pytest.raises(TradeNumberError):
                maker.parse(changed)


@pytest.mark.requirement("sec.trade-number-tamper-is-detected")
@pytest.mark.parametrize("part", ["time", "device", "salt"])
def test_a_part_of_another_number_of_ours_is_refused(part):
    """Each piece is genuine; together they were never made."""
    maker = numbers()
    one, other = (
        maker.make("station-key", "KM01/3"),
        numbers(2, now_us=NOW_US + 10**9).make("station-key", "KM01/4"),
    )
    start, end = PARTS[part]
    with pytest.raises(TradeNumberError, match="check"):
        maker.parse(one[:start] + other[start:end] + one[end:])
    with pytest.raises(TradeNumberError, match="check"):
        maker.parse(one[:27] + other[27:])
