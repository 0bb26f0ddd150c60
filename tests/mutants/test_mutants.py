"""Every known field defect, built into the reference, is caught; the reference itself passes every drill."""

from __future__ import annotations

import pytest

from conformance.catalogue import load_catalogue
from mutants import CHECKS, DRILLS, MUTANTS, Mutant
from mutants.matrix import ELSEWHERE, all_kills, kept_kills, kills, matrix_page, play, survivors
from mutants.mutant import patched
from scenarios.verdicts import Verdict

BUILT = {f"M{number:02d}" for number in (*range(1, 23), 32, 33)}


@pytest.mark.requirement(
    "fd-link.bad-checksum-is-discarded",
    "fd-link.byte-stuffing-before-checksum",
    "fd-link.truncated-frame-does-not-swallow-next",
    "fd-link.transmit-sequence-stays-consistent",
    "fd-link.failure-counter-resets",
    "fd-state.fast-nozzle-cycle-keeps-deliveries-apart",
    "fd-state.nozzle-zero-is-no-nozzle",
    "fd-state.no-refuelling-after-stop",
    "fd-state.points-on-one-board-are-independent",
    "fd-auth.refused-preset-is-reported",
    "fd-auth.offline-policy-is-obeyed",
    "fd-price.price-confirmed-by-readback",
    "fd-price.price-holds-for-a-delivery",
    "fd-met.totals-neither-swapped-nor-rescaled",
    "fd-met.no-binary-floating-point",
    "fd-pwr.no-resumption-after-long-outage",
    "fd-pwr.offline-buffer-never-overwrites",
    "fd-pwr.sequence-is-gap-free-and-wraps",
    "fd-pwr.repeated-upload-is-one-sale",
    "fd-pwr.buffered-sales-upload-in-order",
    "fc-sale.one-delivery-one-ledger-sale",
    "fc-sale.repeated-upload-is-one-row",
    "tank.float-decoding-is-safe",
    "tank.delivery-booked-once",
)
@pytest.mark.parametrize("drill", DRILLS)
def test_the_reference_passes(drill: str) -> None:
    results = play(None, drill)
    assert results
    assert [f"{r.check}: {r.message}" for r in results if r.verdict is not Verdict.PASS] == []
    assert {r.check for r in results} <= set(CHECKS)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.slug)
def test_the_mutant_is_caught(mutant: Mutant) -> None:
    found = kills(mutant, mutant.drills)
    assert set(found) == set(mutant.drills), "every drill that is meant for a mutant catches it"
    kept = kept_kills()[mutant.slug]
    assert found == {drill: kept.get(drill) for drill in mutant.drills}, "run: python -m mutants"
    assert not any("drill.runs" in checks for checks in found.values()), "caught by a check, not by a crash"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_whole_matrix_is_what_was_kept() -> None:
    found = all_kills(jobs=2)
    assert survivors(found) == []
    assert found == kept_kills(), "run: python -m mutants"


def test_no_mutant_survives_in_what_was_kept() -> None:
    assert survivors(kept_kills()) == []
    assert list(kept_kills()) == [mutant.slug for mutant in MUTANTS]


def test_a_survivor_is_shown() -> None:
    found = kept_kills()
    found["M05"] = {}
    assert survivors(found) == ["M05"]
    row = next(
        line for line in matrix_page(found).splitlines() if line.startswith("| M05") and "survives" in line
    )
    assert row


def test_every_defect_of_drivers_dispensers_and_gauges_is_built() -> None:
    assert {mutant.slug[:3] for mutant in MUTANTS} == BUILT
    assert len({mutant.slug for mutant in MUTANTS}) == len(MUTANTS)
    assert not BUILT & set(ELSEWHERE)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.slug)
def test_a_mutant_names_what_it_breaks_and_how_it_is_caught(mutant: Mutant) -> None:
    catalogue = load_catalogue()
    assert mutant.violates
    assert [slug for slug in mutant.violates if slug not in catalogue] == []
    assert set(mutant.drills) <= set(DRILLS)
    assert mutant.field
    assert "\n" not in mutant.field


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.slug)
def test_a_switched_off_mutant_leaves_nothing_behind(mutant: Mutant) -> None:
    drill = mutant.drills[0]
    with pytest.raises(KeyboardInterrupt), mutant.switch():
        raise KeyboardInterrupt
    if drill in {
        "damaged-frames",
        "every-byte",
        "cut-frames",
        "tanker",
    }:  # the others are played above, in any order
        assert all(r.verdict is Verdict.PASS for r in play(None, drill))


def test_a_defect_that_fits_nowhere_is_an_error_and_changes_nothing() -> None:
    class Thing:
        here = 1

    with pytest.raises(AttributeError), patched((Thing, "here", 2), (Thing, "gone", 3)):
        pass
    assert vars(Thing)["here"] == 1

    class Heir(Thing):
        pass

    with patched((Heir, "here", 2)):
        assert (Heir.here, Thing.here) == (2, 1)
    assert "here" not in vars(Heir)


def test_every_drill_says_what_it_plays() -> None:
    for name, drill in DRILLS.items():
        assert drill.__doc__, name
        assert drill.__doc__.strip().endswith("."), name
