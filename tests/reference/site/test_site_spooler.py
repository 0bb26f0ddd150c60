"""The spooler under everything a printer can do: each trouble before printing, cuts at each byte, late and foreign answers."""

from __future__ import annotations

import re

import pytest

from protocols.escpos import PrinterCondition, asb_bytes, read_receipt, receipt_bytes
from reference.site.receipts.replies import (
    AutomaticStatus,
    JobAnswer,
    PaperAnswer,
    ReplyReader,
    StatusAnswer,
    process_id,
)
from reference.site.receipts.text import masked_receipt, receipt_content
from sim.printer import CHINESE_58MM, CHINESE_80MM, PrinterProfile

from .spooler_rig import Desk, S, receipt

FACTS = {
    "station": "KM01", "nozzle": 3, "grade": "95", "volume_ml": 20_000, "price_fen_per_l": 750,
    "amount_fen": 15_000, "paid_fen": 15_000, "ended_s": 1_790_000_000, "pay_method": "微信支付",
}  # fmt: skip


def sections(desk):
    """(reprint number, is whole) of every copy that was begun, whether it was cut off, torn or runs on in the next."""
    texts = [paper.text for paper in desk.printer.receipts]
    if desk.printer.unfinished is not None:
        texts.append(desk.printer.unfinished.text)
    found = []
    for copy in "\n".join(texts).split("昆明一站")[1:]:
        facts = read_receipt(copy)
        found.append((facts.reprint, all(getattr(facts, name) == value for name, value in FACTS.items())))
    return found


def never_two_originals(desk):
    copies = sections(desk)
    marks = [mark for mark, _ in copies if mark]
    assert sum(mark == 0 for mark, _ in copies) <= 1, copies
    assert marks == sorted(set(marks)), copies
    assert copies[-1][1], "the last copy is whole"
    assert len(desk.done) == 1
    assert desk.jobs.to_do() == []


# -- PRN-01 --------------------------------------------------------------------------------------------------------


def jam_at_the_cut(desk):
    """A jam shows at the next cut: one receipt is spent on it."""
    desk.printer.jam_cutter(now_us=desk.now_us)
    desk.add(1)
    desk.run(10)


TROUBLES = {
    "paper end": (lambda d: d.printer.paper_out(d.now_us), lambda d: d.printer.load_paper(now_us=d.now_us)),
    "cover open": (lambda d: d.printer.open_cover(d.now_us), lambda d: d.printer.close_cover(d.now_us)),
    "cutter error": (jam_at_the_cut, lambda d: d.printer.clear_jam(d.now_us)),
    "no answer": (lambda d: d.printer.power_off(d.now_us), lambda d: d.printer.power_on(d.now_us)),
}


@pytest.mark.requirement("prn.status-read-before-printing")
@pytest.mark.parametrize("trouble", TROUBLES)
def test_in_trouble_nothing_is_sent_and_nothing_is_lost(trouble):
    strike, heal = TROUBLES[trouble]
    desk = Desk()
    desk.run(3)
    strike(desk)
    begun = sum(job.attempts for job in desk.jobs.to_do())
    desk.add(7)
    desk.run(300)
    assert sum(job.attempts for job in desk.jobs.to_do()) == begun, (
        "not a byte of a receipt into a printer in trouble"
    )
    assert desk.spooler.problems == (trouble,)
    assert any(trouble in notice and "waiting" in notice for notice in desk.notices), desk.notices
    waiting = len(desk.spooler)
    heal(desk)
    desk.run(30)
    assert desk.jobs.to_do() == []
    assert len(desk.done) == waiting
    assert desk.notices[-1] == "receipt printer works again"
    assert [p.reprint for p in desk.papers() if p.sequence == 7] == [0]
    desk.journal.close()


@pytest.mark.requirement("prn.status-read-before-printing")
def test_a_printer_that_calls_itself_offline_for_no_cause_it_names_gets_nothing():
    desk = Desk()
    desk.run(3)
    desk.add(7)
    desk.spooler.data_to_send(desk.now_us)
    desk.spooler.receive_data(bytes.fromhex("1a 12 12 12"), desk.now_us)
    assert desk.spooler.problems == ("offline",)
    assert desk.spooler.data_to_send(desk.now_us) == []
    assert desk.jobs.to_do()[0].attempts == 0


@pytest.mark.requirement("prn.status-read-before-printing")
@pytest.mark.parametrize("confirm", ["status", "process-id"])
def test_an_automatic_status_confirms_nothing(confirm):
    """Its three last bytes look like an answer to GS r, and a board may send one whenever it likes."""
    desk = Desk(confirm=confirm)
    desk.run(3)
    desk.add(7)
    while desk.spooler.state != "printing":
        desk.run(0.001)
    for condition in (
        PrinterCondition(paper_near_end=True),
        PrinterCondition(),
        PrinterCondition(paper_end=True),
    ):
        desk.spooler.receive_data(asb_bytes(condition), desk.now_us)
        assert desk.done == []
    assert desk.spooler.problems == ("paper end",), "it is told at once, not at the next look"
    desk.run(60)
    never_two_originals(desk)
    assert sections(desk)[-1] == (1, True)


def test_replies_are_told_apart_in_any_pieces():
    end = PrinterCondition(paper_end=True)
    stream = (
        b"\x11" + asb_bytes(end) + b"\x16\x12\x12\x12" + b"\x00" + b"\x37\x22" + process_id(95) + b"\0" + b"\x13\x03"
        + b"\x10\x96" + b"\x37\x22ab\0" + b"\x37\x01234567" + b"\x0c"
    )  # fmt: skip
    for size in (1, 2, 3, 5, 100):
        reader = ReplyReader()
        replies = [
            reply for at in range(0, len(stream), size) for reply in reader.feed(stream[at : at + size])
        ]
        kinds = [type(reply) for reply in replies]
        assert kinds[:5] == [AutomaticStatus, StatusAnswer, PaperAnswer, JobAnswer, PaperAnswer], size
        assert replies[3] == JobAnswer(b'!!""')
        assert JobAnswer(b"ab") not in replies
        assert replies[-1].status.paper_end
    assert len({process_id(number) for number in range(10_000)}) == 10_000


# -- PRN-02, PRN-04: a cut at each byte ----------------------------------------------------------------------------


class CutDesk(Desk):
    """The receipt reaches the printer up to a byte; what that far is printed, then something happens, then the rest comes."""

    def __init__(self, cut_at, strike, **more):
        super().__init__(**more)
        self.cut_at, self.strike = cut_at, strike

    def deliver(self, other, data):
        if other != "printer" or self.strike is None or len(data) < 200:
            super().deliver(other, data)
            return
        strike, self.strike = self.strike, None
        self.printer.receive_data(data[: self.cut_at], self.now_us)
        while (due_us := self.printer.next_timer()) is not None:
            self.now_us = max(self.now_us, due_us)
            self.printer.handle_timer(self.now_us)
        strike(self)
        if self.is_whole:
            self.printer.receive_data(data[self.cut_at :], self.now_us)

    is_whole = True


def end_paper(desk):
    desk.printer.paper_out(desk.now_us)
    desk.heal = lambda: desk.printer.load_paper(now_us=desk.now_us)


def pull_the_plug(desk):
    desk.printer.power_off(desk.now_us)
    desk.heal = lambda: desk.printer.power_on(desk.now_us)


def cut_the_wire(desk):
    desk.is_whole = False
    desk.flight.clear()
    desk.cable = False
    desk.spooler.connection_lost(desk.now_us)
    desk.heal = lambda: setattr(desk, "cable", True)


CUTS = {"paper": end_paper, "power": pull_the_plug, "wire": cut_the_wire}
NARROW, WIDE = (
    len(receipt_bytes(receipt_content(receipt(7)), width_columns=columns, confirm=True))
    for columns in (32, 48)
)


def cut(kind, at, *, length=WIDE, **more):
    desk = CutDesk(at, CUTS[kind], **more)
    desk.run(3)
    desk.add(7)
    desk.run(12)
    desk.heal()
    desk.run(90)
    never_two_originals(desk)
    copies = sections(desk)
    # The answer of a receipt that is wholly printed may still come through before the trouble is seen.
    assert copies[-1][0] == 1 or (at >= length - 11 and copies == [(0, True)]), (kind, at, copies)
    desk.journal.close()


@pytest.mark.requirement("prn.paper-out-reprints-whole-with-mark", "prn.reprints-are-numbered")
def test_paper_that_ends_at_any_byte_gives_one_whole_marked_reprint():
    for at in range(NARROW + 1):
        cut("paper", at, length=NARROW, profile=CHINESE_58MM)


@pytest.mark.requirement("prn.lost-link-ends-declared", "prn.reprints-are-numbered")
@pytest.mark.parametrize("kind", ["power", "wire"])
def test_power_or_wire_lost_here_and_there_ends_declared(kind):
    for at in [*range(0, WIDE, 23), WIDE - 3, WIDE - 1, WIDE]:
        cut(kind, at)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.requirement(
    "prn.paper-out-reprints-whole-with-mark", "prn.lost-link-ends-declared", "prn.reprints-are-numbered"
)
@pytest.mark.parametrize("confirm", ["status", "process-id"])
@pytest.mark.parametrize("kind", CUTS)
def test_any_loss_at_any_byte_ends_declared(kind, confirm):
    for at in range(WIDE + 10 * (confirm == "process-id") + 1):
        cut(kind, at, confirm=confirm)


@pytest.mark.requirement("prn.lost-link-ends-declared")
@pytest.mark.parametrize(
    ("confirm", "copies"), [("status", [(0, True), (1, True)]), ("process-id", [(0, True)])]
)
def test_an_answer_that_comes_late_confirms_only_where_it_says_whose_it_is(confirm, copies):
    """The wire is lost after the last byte and back before the paper is cut; then the answer comes."""
    desk = Desk(confirm=confirm)
    desk.run(3)
    desk.add(7)
    while desk.spooler.state != "printing":
        desk.run(0.001)
    desk.run(0.05)
    desk.spooler.connection_lost(desk.now_us)
    assert desk.spooler.problems == ("no connection",)
    desk.run(60)
    never_two_originals(desk)
    assert sections(desk) == copies


@pytest.mark.requirement("prn.paper-out-reprints-whole-with-mark")
def test_a_process_id_of_a_receipt_in_two_pieces_confirms_nothing():
    desk = Desk(confirm="process-id")
    desk.run(3)
    desk.add(7)
    while desk.spooler.state != "printing":
        desk.run(0.001)
    desk.run(0.5)
    desk.printer.paper_out(desk.now_us)
    desk.run(10)
    desk.printer.load_paper(now_us=desk.now_us)
    desk.run(60)
    never_two_originals(desk)
    assert sections(desk) == [(0, True), (1, True)]
    assert [paper.whole for paper in desk.printer.receipts] == [False, True]


# -- PRN-03 --------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("prn.reprints-are-numbered")
def test_a_receipt_asked_for_again_and_again_is_numbered_by_its_sale():
    desk = Desk()
    for _ in range(4):
        desk.add(7)  # each time another command
        desk.run(20)
    desk.add(8)
    desk.run(20)
    assert [(p.sequence, p.reprint) for p in desk.papers()] == [(7, 0), (7, 1), (7, 2), (7, 3), (8, 0)]
    assert [paper.text.count(f"补打 REPRINT {n}") for n, paper in enumerate(desk.printer.receipts[:4])] == [
        0,
        2,
        2,
        2,
    ]


@pytest.mark.requirement("prn.reprints-are-numbered")
def test_copies_of_an_older_journal_count(tmp_path):
    path = str(tmp_path / "site.sqlite3")
    desk = Desk(path=path)
    desk.add(7)
    desk.run(20)
    with desk.journal.transaction() as db:
        db.execute("DROP TABLE receipt_copies")
    desk.journal.close()
    desk = Desk(path=path)
    desk.add(7)
    desk.run(20)
    assert [p.reprint for p in desk.papers()] == [1]
    desk.journal.close()


@pytest.mark.requirement("prn.reprints-are-numbered")
def test_a_journal_that_cannot_note_a_copy_prints_none():
    desk = Desk()
    noted, refusals = desk.jobs.begin, [True] * 3
    desk.spooler._on_begin = lambda job: None if refusals and refusals.pop() else noted(job)
    desk.add(7)
    desk.run(5)
    assert desk.papers() == []
    assert desk.spooler.problems == ("journal cannot be written",)
    desk.run(30)
    assert [p.reprint for p in desk.papers()] == [0]


# -- PRN-05, PRN-06 ------------------------------------------------------------------------------------------------


@pytest.mark.requirement("prn.receipt-content-equals-ledger")
@pytest.mark.parametrize("profile", [CHINESE_80MM, CHINESE_58MM], ids=lambda profile: profile.name)
def test_every_row_of_the_paper_is_the_ledger_s(profile):
    desk = Desk(profile=profile)
    desk.add(
        7, paid_fen=14_200, tender="unionpay+points", out_trade_no="KM01000001", card="6225 8812 3456 1234",
        phone="13812345678", volume_ml=20_005, grade="diesel",
    )  # fmt: skip
    desk.run(20)
    (facts,) = desk.papers()
    assert (facts.station, facts.nozzle, facts.grade, facts.sequence) == ("KM01", 3, "diesel", 7)
    assert (facts.volume_ml, facts.price_fen_per_l, facts.amount_fen) == (20_005, 750, 15_000)
    assert (facts.discount_fen, facts.paid_fen, facts.ended_s) == (800, 14_200, 1_790_000_000)
    assert (facts.pay_method, facts.order) == ("银联支付+积分", "KM01000001")
    assert (facts.card, facts.phone) == ("622588******1234", "138****5678")
    (paper,) = desk.printer.receipts
    assert not re.search(r"\d{11,}", paper.text.replace("KM01000001", "").replace(" ", ""))
    desk.journal.close()


@pytest.mark.requirement("prn.receipt-content-equals-ledger")
def test_cards_and_phones_are_masked_before_they_are_stored():
    clean = masked_receipt(receipt(7, card="6225881234561234", phone="138-1234-5678", grade="95"))
    assert (clean["card"], clean["phone"]) == ("622588******1234", "138****5678")
    assert masked_receipt(clean) == clean, "masked once"
    assert masked_receipt(receipt(7)) == receipt(7)


RARE = ("𠮷野家加油站", "㐂洋洲站", "龘靐齉爩", "€·①Ⅷ", "ǹḿ", "한국", "ｱｲｳ", "〇○", "\U000200ae站", "а站")


@pytest.mark.requirement("prn.chinese-text-is-right")
@pytest.mark.parametrize("text", RARE)
@pytest.mark.parametrize("profile", [CHINESE_80MM, CHINESE_58MM], ids=lambda profile: profile.name)
def test_rare_characters_come_out_whole_and_in_their_columns(profile, text):
    desk = Desk(profile=profile)
    desk.add(7, station_name=text, out_trade_no=text, tender=text)
    desk.run(20)
    wanted = text.encode("gb18030")
    sent = receipt_bytes(receipt_content(receipt(7, station_name=text)), width_columns=profile.columns)
    assert wanted in sent, "byte by byte GB18030"
    (paper,) = desk.printer.receipts
    rows = {line.split()[0]: line for line in paper.text.splitlines() if line.strip()}
    assert text in rows
    for label in ("支付方式", "订单号"):
        assert rows[label].endswith(text)
        columns = sum(1 if char < "\x80" else 2 for char in rows[label])
        assert columns == profile.columns, "flush with the right edge"
    assert "?" not in paper.text
    desk.journal.close()


@pytest.mark.requirement("prn.chinese-text-is-right")
@pytest.mark.parametrize("codepage", ["gbk", "gb2312"])
def test_what_an_older_font_lacks_keeps_its_columns(codepage):
    desk = Desk(codepage=codepage)
    desk.add(7, tender="𠮷付", station_name="𠮷a\ud800\x1b@")
    desk.run(20)
    (paper,) = desk.printer.receipts
    row = next(line for line in paper.text.splitlines() if line.startswith("支付方式"))
    assert row.endswith("付")
    assert sum(1 if char < "\x80" else 2 for char in row) == 48
    assert desk.papers()[0].paid_fen == 15_000
    desk.journal.close()


# -- PRN-08 --------------------------------------------------------------------------------------------------------

SHORT = PrinterProfile("short roll", roll_mm=2_000, near_end_mm=1_500)


@pytest.mark.requirement("prn.near-end-warns")
def test_the_staff_is_warned_once_before_the_paper_ends():
    desk = Desk(profile=SHORT, limit=100)
    for sequence in range(1, 41):
        desk.add(sequence)
    desk.run(120)
    warning, stop = (
        next(k for k, text in enumerate(desk.notices) if word in text)
        for word in ("nearly used up", "paper end")
    )
    assert warning < stop
    assert sum("nearly used up" in text for text in desk.notices) == 1
    assert desk.spooler.near_end
    printed = len(desk.papers())
    assert printed > 5, "there was time to fetch a roll"
    desk.printer.load_paper(50_000, now_us=desk.now_us)
    desk.run(120)
    assert not desk.spooler.near_end
    assert desk.jobs.to_do() == []


@pytest.mark.requirement("prn.lost-link-ends-declared")
def test_the_answer_of_an_interrupted_receipt_never_confirms_its_reprint():
    """The wire is lost and found while the original prints; its answer comes, and then the paper ends in the reprint."""
    desk = Desk()
    desk.run(3)
    desk.add(7)
    while desk.spooler.state != "printing":
        desk.run(0.001)
    desk.run(0.05)
    desk.spooler.connection_lost(desk.now_us)
    desk.spooler.handle_timer(desk.spooler.next_timer())  # asks at once: the original is still printing
    while not desk.printer.receipts:
        desk.run(0.001)
    desk.run(0.9)
    assert desk.spooler.state == "printing"
    desk.printer.paper_out(desk.now_us)
    desk.run(20)
    assert desk.done == [], "only the original is whole, and it was given up"
    desk.printer.load_paper(now_us=desk.now_us)
    desk.run(60)
    never_two_originals(desk)
    assert sections(desk)[-1] == (2, True)


def test_a_receipt_that_was_taken_under_other_settings_holds_nothing_up():
    desk = Desk()
    dropped = []
    desk.spooler._on_unprintable = lambda job, reason: dropped.append((job.job_id, reason))
    desk.spooler.add(desk.jobs.add(None, receipt(1, amount_fen=-5)))
    desk.add(7)
    desk.run(30)
    assert [p.sequence for p in desk.papers()] == [7]
    assert dropped == [(1, "amount_fen cannot be negative: -5")]


# -- what it costs to be wrong -------------------------------------------------------------------------------------


def test_a_status_answer_in_two_halves_is_one_answer():
    desk = Desk()
    desk.run(3)
    desk.add(7)
    desk.spooler.data_to_send(desk.now_us)
    desk.spooler.receive_data(bytes.fromhex("1a 12"), desk.now_us)
    desk.spooler.handle_timer(desk.now_us + S)  # "no answer"
    desk.spooler.handle_timer(desk.now_us + 3 * S)  # asked again
    desk.spooler.receive_data(bytes.fromhex("1a 16 12 12"), desk.now_us + 3 * S)
    assert desk.spooler.problems == ("cover open",), "the half of the old answer does not shift the new one"
