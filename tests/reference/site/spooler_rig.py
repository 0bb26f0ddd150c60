"""The spooler and a simulated printer, face to face, over a journal; virtual time, bytes take 2 ms."""

from __future__ import annotations

from protocols.escpos import read_receipt
from reference.site.journal import Journal
from reference.site.receipts.journal import PrintJournal
from reference.site.receipts.spooler import ReceiptSpooler
from sim.printer import CHINESE_80MM, Printer

S = 1_000_000


def receipt(sequence=1, **changes):
    return {
        "station": "KM01", "station_name": "昆明一站", "sale_id": f"s{sequence}", "sequence": sequence,
        "fuelling_point": 1, "nozzle": 3, "grade": "95", "volume_ml": 20_000, "amount_fen": 15_000,
        "price_fen_per_l": 750, "ended_us": 1_790_000_000 * S, "tender": "wechatpay", "paid_fen": 15_000,
        "out_trade_no": None,
    } | changes  # fmt: skip


class Desk:
    """Spooler and simulated printer, face to face; bytes take 2 ms."""

    def __init__(self, limit=10, *, profile=CHINESE_80MM, path=":memory:", **how):
        self.printer = Printer(profile)
        self.journal = Journal(path)
        self.jobs = PrintJournal(self.journal)
        self.done = []
        self.notices = []
        self.how = {"columns": profile.columns, "limit": limit} | how
        self.spooler = self.make()
        self.now_us = 0
        self.cable = True
        self.flight = []

    def make(self):
        def done(job):
            self.jobs.finish(job)
            self.done.append((self.now_us, job.job_id))

        return ReceiptSpooler(
            on_begin=self.jobs.begin, on_done=done, on_notice=self.notices.append, **self.how
        )

    def restart(self):
        """The process was killed and is back; the journal is all it has."""
        self.spooler = self.make()
        for job in self.jobs.to_do():
            self.spooler.add(job)

    def add(self, sequence=1, **changes):
        if self.spooler.is_full:
            return False
        wanted = receipt(sequence, **changes)
        self.spooler.check(wanted)
        self.spooler.add(self.jobs.add(None, wanted))
        return True

    def pump(self):
        for machine, other in ((self.spooler, "printer"), (self.printer, "spooler")):
            for out in machine.data_to_send(self.now_us):
                self.flight.append((max(self.now_us, out.not_before_us) + 2_000, other, out.data))

    def deliver(self, other, data):
        getattr(self, other).receive_data(data, self.now_us)

    def run(self, seconds):
        end_us = self.now_us + round(seconds * S)
        while True:
            self.pump()
            self.flight.sort(key=lambda item: item[0])
            times = [t for t in (self.spooler.next_timer(), self.printer.next_timer()) if t is not None]
            times += [self.flight[0][0]] if self.flight else []
            if not times or min(times) > end_us:
                break
            self.now_us = max(self.now_us, min(times))
            if self.flight and self.flight[0][0] <= self.now_us:
                _, other, data = self.flight.pop(0)
                if self.cable:
                    self.deliver(other, data)
                continue
            for machine in (self.spooler, self.printer):
                timer = machine.next_timer()
                if timer is not None and timer <= self.now_us:
                    machine.handle_timer(self.now_us)
        self.now_us = end_us

    def papers(self):
        return [read_receipt(paper.text) for paper in self.printer.receipts]
