"""Paper, head, cutter and cover: executes actions one at a time, each taking the time it takes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Literal

from sim.printer.actions import Action, Buzz, Cut, Print, Pulse, Reply, StatusReply
from sim.printer.events import Buzzed, DrawerKicked, LinePrinted, PrinterEvent, ReceiptEnded
from sim.printer.paper import BlankLine, Interruption, InterruptionKind, PrintedLine, Receipt
from sim.printer.profile import PrinterProfile

__all__ = ["Mechanism"]


class Mechanism:
    """The moving parts. It knows nothing of bytes; `Printer` feeds it actions and asks it for its condition.

    Attributes:
        receipts: every receipt that left the printer, oldest first.
        cover_open, paper_end, cutter_failed, cutter_jammed, cover_opened_while_printing, drawer_open: its condition.
        cools_at_us: the head is too hot until then; None while it is not.
        is_broken, has_defect: an error that nothing but power-on clears, and whether its cause is still there.
        is_feeding: the feed button is held down.
        near_end_stops: ESC c 4: the near-end sensor stops it as well.
    """

    def __init__(
        self,
        profile: PrinterProfile,
        tell: Callable[[PrinterEvent], None],
        reply: Callable[[bytes, int], None],
        status_reply: Callable[[int, int], None],
    ) -> None:
        self._profile = profile
        self._tell = tell
        self._reply = reply
        self._status_reply = status_reply
        self._queue: deque[Action] = deque()
        self._current: Action | None = None
        self._done_at_us = 0
        self._free_at_us = 0
        self._strip: list[PrintedLine] = []
        self._strip_started_us = 0
        self._interruptions: list[Interruption] = []
        self._paper_left_um = profile.roll_mm * 1000
        self.receipts: list[Receipt] = []
        self.cover_open = False
        self.cutter_jammed = False
        self.cutter_failed = False
        self.cover_opened_while_printing = False
        self.drawer_open = False
        self.cools_at_us: int | None = None
        self.is_broken = False
        self.has_defect = False
        self.is_feeding = False
        self.near_end_stops = False

    # -- condition ----------------------------------------------------------------------------------------------

    @property
    def paper_left_mm(self) -> int:
        """Paper on the roll."""
        return self._paper_left_um // 1000

    @property
    def paper_end(self) -> bool:
        """Whether the end sensor sees no paper."""
        return self._paper_left_um <= 0

    @property
    def paper_near_end(self) -> bool:
        """Whether the near-end sensor reports; never on a printer without one."""
        near_end_mm = self._profile.near_end_mm
        return near_end_mm > 0 and self._paper_left_um <= near_end_mm * 1000

    @property
    def near_end_stop(self) -> bool:
        """Whether it stands still because of the near-end sensor."""
        return self.near_end_stops and self.paper_near_end and not self.paper_end

    @property
    def stopped(self) -> bool:
        """Whether no new action may start."""
        return (
            self.cover_open
            or self._paper_left_um <= 0
            or self.cutter_failed
            or self.is_feeding
            or self.is_broken
            or self.cools_at_us is not None
            or self.near_end_stop
        )

    @property
    def moving(self) -> bool:
        """Whether an action is under way."""
        return self._current is not None

    @property
    def idle(self) -> bool:
        """Nothing under way and nothing queued."""
        return self._current is None and not self._queue

    @property
    def done_at_us(self) -> int | None:
        """When the action under way ends."""
        return self._done_at_us if self._current is not None else None

    @property
    def free_at_us(self) -> int:
        """When the last action ended."""
        return self._free_at_us

    @property
    def strip(self) -> Receipt | None:
        """The paper that hangs out of the printer, not yet cut; None when nothing is printed on it."""
        if not self._strip:
            return None
        return Receipt(
            tuple(self._strip),
            self._profile.width_dots,
            self._strip_started_us,
            self._free_at_us,
            "torn",
            tuple(self._interruptions),
        )

    # -- work ---------------------------------------------------------------------------------------------------

    def add(self, actions: list[Action]) -> None:
        """Queue actions."""
        self._queue.extend(actions)

    def rest_until(self, now_us: int) -> None:
        """Nothing was under way until now: the next action starts now, not when the last one ended."""
        if self._current is None:
            self._free_at_us = max(self._free_at_us, now_us)

    def finish_due(self, now_us: int) -> bool:
        """End the action under way if its time has come. Returns whether one ended."""
        if self._current is None or self._done_at_us > now_us:
            return False
        action, self._current = self._current, None
        self._free_at_us = self._done_at_us
        self._complete(action, self._done_at_us)
        return True

    def start_next(self) -> bool:
        """Start the next action if there is one and nothing stops it. Returns whether one was taken."""
        if self._current is not None:
            return False
        if self.is_feeding:
            return self._feed_by_button()
        if not self._queue or self.stopped:
            return False
        action = self._queue[0]
        if isinstance(action, Cut) and self.cutter_jammed and self._profile.cutter:
            self.cutter_failed = True
            self._interrupt("cutter", self._free_at_us)
            return False
        self._queue.popleft()
        duration_us = self._duration_us(action)
        if duration_us == 0:
            self._complete(action, self._free_at_us)
        else:
            self._current = action
            self._done_at_us = self._free_at_us + duration_us
        return True

    def cool_if_due(self, now_us: int) -> bool:
        """The head has cooled down: printing goes on by itself. Returns whether that happened."""
        if self.cools_at_us is None or self.cools_at_us > now_us:
            return False
        self._free_at_us = max(self._free_at_us, self.cools_at_us)
        self.cools_at_us = None
        return True

    def _feed_by_button(self) -> bool:
        if self.cover_open or self.paper_end or self.is_broken or self.cutter_failed:
            return False
        self._current = Print(BlankLine(self._profile.line_spacing_dots))
        self._done_at_us = self._free_at_us + self._duration_us(self._current)
        return True

    def _duration_us(self, action: Action) -> int:
        if isinstance(action, Print):
            return self._profile.feed_us(action.line.feed_dots)
        if isinstance(action, Cut) and self._profile.cutter:
            return self._profile.cut_us
        return 0

    def _complete(self, action: Action, at_us: int) -> None:
        if isinstance(action, Print):
            self._paper_left_um = max(0, self._paper_left_um - action.line.feed_dots * self._profile.dot_um)
            self._put_on_paper(action.line, at_us)
        elif isinstance(action, Cut):
            self._end_receipt("full" if action.full else "partial", at_us)
        elif isinstance(action, Pulse):
            self.drawer_open = True
            self._tell(DrawerKicked(at_us, action.pin, action.on_ms))
        elif isinstance(action, Buzz):
            self._tell(Buzzed(at_us, action.times, action.on_ms))
        elif isinstance(action, Reply):
            self._reply(action.data, at_us)
        elif isinstance(action, StatusReply):
            self._status_reply(action.n, at_us)

    def _put_on_paper(self, line: PrintedLine, at_us: int) -> None:
        if not self._strip:
            self._strip_started_us = at_us
        self._strip.append(line)
        self._tell(LinePrinted(at_us, line))

    def _end_receipt(self, end: Literal["full", "partial", "torn"], at_us: int) -> None:
        lines, interruptions = tuple(self._strip), tuple(self._interruptions)
        self._strip.clear()
        self._interruptions.clear()
        if all(isinstance(line, BlankLine) for line in lines):
            return  # a cut of blank paper is no receipt
        receipt = Receipt(lines, self._profile.width_dots, self._strip_started_us, at_us, end, interruptions)
        self.receipts.append(receipt)
        self._tell(ReceiptEnded(at_us, receipt))

    def _interrupt(self, kind: InterruptionKind, at_us: int) -> None:
        if self._strip or kind == "cover_open":
            self._interruptions.append(Interruption(kind, len(self._strip), at_us))

    # -- the operator's hand --------------------------------------------------------------------------------------

    def take_paper_out(self) -> None:
        """The roll is empty from now on; a line under way still ends, as the sensor sits before the head."""
        self._paper_left_um = 0

    def load_paper(self, length_mm: int, at_us: int) -> None:
        """A new roll. What was printed before hangs on the old one."""
        self._interrupt("paper_end", at_us)
        self._paper_left_um = length_mm * 1000

    def open_cover(self, at_us: int) -> None:
        """Open the cover; while printing this is an error that closing it clears."""
        if self.cover_open:
            return
        self.cover_open = True
        if self.is_feeding:
            self._current = None
        elif self._current is not None:
            self.cover_opened_while_printing = True
            self._interrupt("cover_open", at_us)
            if self._profile.cover_open_line == "reprinted" or not isinstance(self._current, Print):
                self._queue.appendleft(self._current)
            self._current = None
            self._free_at_us = max(self._free_at_us, at_us)

    def close_cover(self) -> None:
        """Close the cover."""
        self.cover_open = False
        self.cover_opened_while_printing = False

    def tear_off(self, at_us: int) -> None:
        """Tear off by hand what hangs out."""
        if self._strip:
            self._end_receipt("torn", at_us)

    def overheat(self, at_us: int, until_us: int) -> None:
        """The head is too hot: the line under way ends, the next one waits until it has cooled down."""
        if self.cools_at_us is None and not self.idle:
            self._interrupt("head_hot", at_us)
        self.cools_at_us = max(until_us, self.cools_at_us or 0)

    def break_down(self, at_us: int) -> None:
        """Something is broken for good; the line under way is lost."""
        if not self.is_broken:
            self._interrupt("broken", at_us)
        self.is_broken = self.has_defect = True
        self._current = None
        self._free_at_us = max(self._free_at_us, at_us)

    def press_feed(self, held: bool, at_us: int) -> None:
        """Hold down the feed button, or let it go."""
        self.is_feeding = held
        self.rest_until(at_us)

    def recover_cutter(self) -> None:
        """DLE ENQ: go on with the cut that failed, if the jam has been removed."""
        if not self.cutter_jammed:
            self.cutter_failed = False

    def clear_queue(self) -> None:
        """Forget queued actions; the one under way goes on."""
        self._queue.clear()

    def lose_power(self, at_us: int) -> None:
        """Everything in memory is gone; what is on paper stays on paper."""
        self._interrupt("power_off", at_us)
        self._queue.clear()
        self._current = None
        self.cutter_failed = False
        self.cover_opened_while_printing = False
        self.is_feeding = False

    def gain_power(self) -> None:
        """The cutter moves once and the board looks at itself: what is still wrong shows again."""
        self.cutter_failed = self.cutter_jammed and self._profile.cutter
        self.is_broken = self.has_defect
