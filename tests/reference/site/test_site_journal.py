from __future__ import annotations

import json
import random
import signal
import sqlite3
import subprocess
import sys

import pytest

from reference.site.journal import Authorisation, Journal, JournalError, Sale
from reference.site.pumps.witness import UNREAD, Filling, Totals, Witness, judge
from reference.site.receipts.journal import PrintJournal

SALE = Sale(7, 0, 3, "95", 20_000, 15_000, 750, 1, 2, 30_000, 22_500, "o1", ("recovered",))


def sale(**changes):
    from dataclasses import replace

    return replace(SALE, **changes)


def test_sequence_numbers_are_gap_free_per_nozzle_and_survive(tmp_path):
    path = str(tmp_path / "site.sqlite3")
    journal = Journal(path)
    first = journal.record_sales([(SALE, Witness(30_000, 22_500))], spend=7)
    journal.record_sales([(sale(nozzle=8), Witness(1, 1)), (SALE, Witness(50_000, 37_500))])
    journal.close()
    journal = Journal(path)
    assert [(s.nozzle, s.sequence) for s in journal.all_sales()] == [(7, 1), (8, 1), (7, 2)]
    assert journal.all_sales()[0] == first[0]
    assert journal.witness(7) == Witness(50_000, 37_500)
    assert journal.has_sale_of("o1")
    journal.close()


def test_a_nozzle_that_sold_unread_has_a_number_and_no_totals():
    journal = Journal(":memory:")
    journal.record_sales([(SALE, UNREAD)])
    assert journal.witness(7) is None
    (again,) = journal.record_sales([(SALE, Witness(50_000, 37_500))])
    assert again.sequence == 2
    assert journal.witness(7) == Witness(50_000, 37_500)
    journal.close()


def test_a_transaction_that_fails_leaves_nothing():
    journal = Journal(":memory:")
    with pytest.raises(JournalError):
        journal.record_sales([(SALE, Witness(1, 1)), (sale(grade=None), Witness(2, 2))])
    assert journal.all_sales() == []
    assert journal.witness(7) is None
    journal.close()


def test_sales_cannot_be_changed_or_deleted(tmp_path):
    path = tmp_path / "site.sqlite3"
    journal = Journal(str(path))
    journal.record_sales([(SALE, Witness(1, 1))])
    journal.close()
    with sqlite3.connect(path) as db:
        for statement in ("UPDATE sales SET amount_fen = 0", "DELETE FROM sales"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                db.execute(statement)
    db.close()


def test_upload_pointer_and_refusals():
    journal = Journal(":memory:")
    stored = journal.record_sales([(SALE, Witness(k, k)) for k in range(3)])
    journal.uploaded(stored[0].sale_id)
    journal.refused(stored[1].sale_id, 409, "differs")
    assert [s.sequence for s in journal.unsent_sales()] == [3]
    assert journal.count_unsent() == 1
    assert journal.refusals() == [(stored[1].sale_id, 409, "differs")]
    journal.close()


def test_a_command_is_new_then_open_then_finished():
    journal = Journal(":memory:")
    assert journal.begin_command(5) == "new"
    assert journal.begin_command(5) == "open"
    journal.finish_command(5, ok=True, reason="held")
    assert journal.unposted_results() == [(5, True, "held", 1)]
    journal.result_posted(5, 1)
    assert journal.unposted_results() == []
    assert journal.begin_command(5) == "finished"
    assert journal.unposted_results() == [(5, True, "held", 1)], (
        "the result is posted again, nothing is done again"
    )
    journal.close()


def test_one_receipt_per_command_and_authorisations_return():
    journal = Journal(":memory:")
    jobs = PrintJournal(journal)
    sale = {"station": "KM01", "nozzle": 3, "sequence": 7}
    first = jobs.add(9, sale)
    assert (jobs.knows(9), jobs.knows(8), jobs.begin(first)) == (True, False, 0)
    again = jobs.add(9, sale)
    assert (again.job_id, again.attempts, again.done) == (first.job_id, 1, False)
    assert [job.attempts for job in jobs.to_do()] == [1]
    jobs.finish(first)
    assert jobs.to_do() == []
    assert jobs.add(9, sale).done
    assert journal.unposted_results() == [(9, True, "printed", 1)], "answered in the same commit"
    assert jobs.begin(jobs.add(10, sale)) == 1, "copies are counted by sale, whoever asks"
    held = Authorisation(7, 9, "o1", 10_000, None, 123, live=True)
    journal.put_authorisation(held)
    assert journal.authorisations() == [held]
    journal.close()


def test_a_file_that_is_no_journal_is_refused(tmp_path):
    path = tmp_path / "site.sqlite3"
    path.write_bytes(b"not a database, surely" * 100)
    with pytest.raises(JournalError, match=r"site\.sqlite3"):
        Journal(str(path))


# The process under the knife: it reads a pump (a line on stdin per look), judges, stores, then resets the pump.
CHILD = """
import json, sys
from reference.site.journal import Journal, Sale
from reference.site.pumps.witness import Filling, Totals, Witness, judge
journal = Journal(sys.argv[1])
print("up", flush=True)
for line in sys.stdin:
    look = json.loads(line)
    before = journal.witness(1) or Witness(0, 0)
    verdict = judge(before, Totals(look["total"], look["total"]), Filling(look["shown"], look["shown"]),
                    seen=False, patient=False, price_fen_per_l=1000)
    if verdict.filling is not None:
        journal.record_sales([(Sale(1, 0, 1, "92", look["shown"], look["shown"], 1000, 0, 0, look["total"],
                                    look["total"], None, ()), verdict.witness)])
    print("reset", flush=True)
"""


@pytest.mark.requirement("fd-pwr.repeated-upload-is-one-sale", "fc-sale.one-delivery-one-ledger-sale")
def test_kill_9_around_the_write_loses_no_sale_and_doubles_none(tmp_path):
    rng = random.Random("kill -9")
    path = str(tmp_path / "site.sqlite3")
    total, truth, kills = 0, [], 0
    child = None

    def start():
        process = subprocess.Popen(
            [sys.executable, "-c", CHILD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout.readline() == "up\n"
        return process

    child = start()
    for _ in range(30):
        shown = 10 * rng.randrange(1, 9000)
        total += shown
        truth.append(shown)
        while True:  # the pump keeps showing its filling until it is reset
            child.stdin.write(json.dumps({"total": total, "shown": shown}) + "\n")
            child.stdin.flush()
            if kills < 10 and rng.random() < 0.5:
                # a spread of instants before, inside and after the commit, without waiting on a clock
                for _ in range(rng.choice((0, 0, 200, 2_000, 20_000, 60_000))):
                    pass
                child.send_signal(signal.SIGKILL)
                child.wait()
                child.stdin.close()
                child.stdout.close()
                kills += 1
                child = start()
                continue
            assert child.stdout.readline() == "reset\n"
            break
    child.stdin.close()
    child.wait()
    child.stdout.close()
    assert kills == 10
    journal = Journal(path)
    stored = journal.all_sales()
    journal.close()
    assert [s.volume_ml for s in stored] == truth
    assert [s.sequence for s in stored] == list(range(1, 31))


# -- the witness on its own ------------------------------------------------------------------------------------


def look(before, total_ml, shown_ml, *, seen=False, patient=False, total_fen=None):
    fen = total_ml * 3 // 4 if total_fen is None else total_fen
    return judge(
        before, Totals(total_ml, fen), Filling(shown_ml, shown_ml * 3 // 4), seen=seen, patient=patient,
        price_fen_per_l=750,
    )  # fmt: skip


BEFORE = Witness(100_000, 75_000)


def test_witness_new_old_and_none():
    assert look(BEFORE, 120_000, 20_000).filling == Filling(20_000, 15_000)
    assert look(BEFORE, 100_000, 20_000).filling is None, "the display still shows a captured delivery"
    assert look(BEFORE, 100_000, 0).filling is None


@pytest.mark.requirement("fd-met.gap-in-totals-is-a-missing-sale")
def test_witness_gap_is_reconstructed_only_when_patience_is_over():
    assert look(BEFORE, 150_000, 20_000, patient=True).wait
    judged = look(BEFORE, 150_000, 20_000)
    assert judged.missing == Filling(30_000, 22_500)
    assert judged.filling == Filling(20_000, 15_000)
    assert judged.witness == Witness(150_000, 112_500)


def test_witness_without_amount_totaliser_computes_and_says_so():
    judged = judge(
        BEFORE, Totals(130_000, None), Filling(0, 0), seen=False, patient=False, price_fen_per_l=750
    )
    assert judged.missing == Filling(30_000, 22_500)
    assert judged.missing_computed


def test_witness_wraps_at_ten_digits_and_does_not_take_backwards_for_a_wrap():
    near_end = Witness(10**11 - 10_000, 10**10 - 7_500)
    judged = judge(
        near_end,
        Totals(5_000, 3_750),
        Filling(15_000, 11_250),
        seen=False,
        patient=False,
        price_fen_per_l=750,
    )
    assert judged.filling == Filling(15_000, 11_250)
    back = look(BEFORE, 50_000, 20_000, seen=True)
    assert back.flags == ("total_backwards",)
    assert look(BEFORE, 50_000, 20_000).filling is None


def test_witness_any_history_adds_up():
    rng = random.Random("history")
    for _ in range(300):
        before, total, sold = Witness(0, 0), 0, 0
        lag = 0
        for _ in range(rng.randrange(1, 12)):
            unseen = rng.choice((0, 0, 0, 10 * rng.randrange(1, 3000)))
            shown = 10 * rng.randrange(1, 6000)
            total += unseen + shown
            lag = rng.choice((0, 0, shown if not unseen else 0))
            judged = judge(
                before, Totals(total - lag, total - lag), Filling(shown, shown),
                seen=True, patient=False, price_fen_per_l=1000,
            )  # fmt: skip
            sold += (judged.missing.volume_ml if judged.missing else 0) + (
                judged.filling.volume_ml if judged.filling else 0
            )
            before = judged.witness
        assert sold == total, "every millilitre once, whatever lagged or was not seen"
