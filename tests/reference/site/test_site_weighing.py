"""Running figures without a checksum: what comes to its price is shown, what does not has to go on."""

from __future__ import annotations

from itertools import pairwise

import pytest

from reference.site.pumps.weighing import RunningFigures
from reference.site.pumps.witness import Filling

S = 1_000_000


def at_price(volume_ml: int, price_fen_per_l: int = 760) -> Filling:
    return Filling(volume_ml, (volume_ml * price_fen_per_l + 500) // 1_000)


def test_what_comes_to_its_price_is_believed_at_once_even_after_a_long_silence() -> None:
    figures = RunningFigures()
    for volume_ml in (0, 10, 1_230, 20_000, 99_990):
        assert figures.believes(at_price(volume_ml), (760,), volume_ml)
    assert figures.believes(at_price(500, 781), (760, 781), 0), "the price may have changed meanwhile"


@pytest.mark.parametrize("bit", range(20))
@pytest.mark.parametrize("volume_ml", [40, 5_000, 20_010])
def test_one_flipped_bit_is_never_believed(bit: int, volume_ml: int) -> None:
    true = at_price(volume_ml)
    damaged_fen = Filling(true.volume_ml, true.amount_fen ^ 2 << bit)  # the lowest bit is within the rounding
    damaged_ml = Filling((true.volume_ml // 10 ^ 1 << bit) * 10, true.amount_fen)
    for damaged in (damaged_fen, damaged_ml):
        figures = RunningFigures()
        assert not figures.believes(damaged, (760,), 0)
        assert figures.believes(true, (760,), S // 5)


def test_a_pump_with_a_price_of_its_own_is_believed_when_its_readings_go_on() -> None:
    figures = RunningFigures()
    readings = [at_price(1_000 + 120 * step, 699) for step in range(9)]
    shown = [
        reading for step, reading in enumerate(readings) if figures.believes(reading, (760,), step * S // 5)
    ]
    assert shown == readings[2::3]
    assert all(after.amount_fen > before.amount_fen for before, after in pairwise(shown))


def test_garbage_does_not_confirm_itself() -> None:
    figures = RunningFigures()
    for step, garbage in enumerate(
        (Filling(20_101_010, 12_084), Filling(20_101_010, 20_368), Filling(50, 99_999), Filling(60, 2))
    ):
        assert not figures.believes(garbage, (760,), step * S // 5)
    figures.begin()
    assert figures.believes(at_price(70), (760,), S)
