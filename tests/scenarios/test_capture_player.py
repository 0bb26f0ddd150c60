"""One side of a capture, played in virtual time to machines that answer as recorded, otherwise, late or not at all."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from protocols.sansio import Outgoing
from scenarios.capture_player import CapturePlayer
from scenarios.capture_turns import ReplayError, first_sender, take_turns
from sim.kernel import VirtualKernel
from sim.wires import Capture, VirtualBus, VirtualLink


class Answering:
    """Answers each burst out of a table, after a turn-round."""

    def __init__(
        self, answers: dict[bytes, bytes], *, opening: bytes = b"", turn_round_us: int = 2_000
    ) -> None:
        self.on_wake: Callable[[], None] | None = None
        self.heard: list[tuple[int, bytes]] = []
        self._answers = answers
        self._turn_round_us = turn_round_us
        self._due: list[Outgoing] = []
        self._opening = opening

    def connection_made(self, now_us: int) -> None:
        if self._opening:
            self._due.append(Outgoing(self._opening))

    def connection_lost(self, now_us: int) -> None:
        pass

    def receive_data(self, data: bytes, now_us: int) -> None:
        self.heard.append((now_us, data))
        if answer := self._answers.get(data, b""):
            self._due.append(Outgoing(answer, now_us + self._turn_round_us))

    def data_to_send(self, now_us: int) -> list[Outgoing]:
        due, self._due = self._due, []
        return due

    def next_timer(self) -> int | None:
        return None

    def handle_timer(self, now_us: int) -> None:
        raise AssertionError("no timer was asked for")


DEVICE = {b"poll": b"idle", b"lift?": b"no", b"sale?": b"12.50"}


def recording(*frames: tuple, ports: tuple[str, ...] = ("site", "pump"), medium: str = "link") -> Capture:
    capture = Capture("line")
    capture.describe(medium=medium)
    for name in ports:
        capture.port(name)
    for t_us, sender, data, *touched in frames:
        if touched:
            capture.record_touched(t_us, capture.port(sender), data, *touched)
        else:
            capture.record(t_us, capture.port(sender), data)
    return capture


GOOD = (
    (0, "site", b"poll"),
    (4_000, "pump", b"idle"),
    (250_000, "site", b"lift?"),
    (253_000, "pump", b"no"),
    (500_000, "site", b"sale?"),
    (505_000, "pump", b"12."),
    (506_000, "pump", b"50"),
)


def play(capture: Capture, target, *, played=("site",), until_us: int = 200_000_000, **options):
    kernel = VirtualKernel("replay", epoch_us=1_780_000_000_000_000)
    try:
        player = CapturePlayer(take_turns(capture, played), **options)
        ended_us: list[int] = []
        player.on_done = lambda: ended_us.append(kernel.now_us)
        link = VirtualLink(kernel, "line", player, target, latency_us=100)
        kernel.run(until_us)
        assert player.is_done
        return player.report, ended_us[0], link
    finally:
        kernel.close()


def test_a_capture_is_cut_where_the_played_side_speaks_again():
    turns = take_turns(recording(*GOOD), ["site"])
    assert [(turn.said, turn.expected, turn.t_us, turn.span_us) for turn in turns] == [
        (((0, b"poll"),), b"idle", 0, 4_000),
        (((250_000, b"lift?"),), b"no", 250_000, 3_000),
        (((500_000, b"sale?"),), b"12.50", 500_000, 6_000),
    ]
    assert first_sender(recording(*GOOD, ports=("pump", "site"))) == "site"


def test_a_target_that_says_the_same_is_the_same_and_is_not_kept_waiting():
    device = Answering(DEVICE)
    report, ended_us, _ = play(recording(*GOOD), device)
    assert report.same
    assert (report.turns, report.played, report.sent_bytes, report.got_bytes) == (3, 3, 14, 11)
    assert [data for _, data in device.heard] == [b"poll", b"lift?", b"sale?"]
    assert ended_us < 100_000, "the capture took half a second"


def test_recorded_timing_keeps_the_times_of_the_capture():
    device = Answering(DEVICE)
    report, _, _ = play(recording(*GOOD), device, timing="recorded")
    assert report.same
    times = [at_us - device.heard[0][0] for at_us, _ in device.heard]
    assert times == [0, 250_000, 500_000]


def test_each_difference_tells_turn_time_sent_expected_and_got():
    report, _, _ = play(recording(*GOOD), Answering({**DEVICE, b"lift?": b"yes"}))
    assert not report.same
    assert report.different == 1
    (one,) = report.differences
    assert (one.turn, one.t_us, one.sent, one.expected, one.got) == (2, 250_000, b"lift?", b"no", b"yes")


def test_an_answer_that_does_not_come_is_waited_for_and_the_next_turn_is_played():
    device = Answering({**DEVICE, b"lift?": b""})
    report, ended_us, _ = play(recording(*GOOD), device, limit_us=1_000_000)
    assert [(one.turn, one.got) for one in report.differences] == [(2, b"")]
    assert device.heard[-1][1] == b"sale?"
    assert 1_000_000 < ended_us < 1_300_000


@pytest.mark.parametrize("extra", [b"12.50!", b"12.5", b"12.51"])
def test_one_byte_more_less_or_other_is_a_difference(extra):
    report, _, _ = play(recording(*GOOD), Answering({**DEVICE, b"sale?": extra}), limit_us=200_000)
    assert [(one.turn, one.expected, one.got) for one in report.differences] == [(3, b"12.50", extra)]


def test_bytes_too_many_that_come_late_count_against_the_turn_before():
    class Chatty(Answering):
        def receive_data(self, data: bytes, now_us: int) -> None:
            super().receive_data(data, now_us)
            if data == b"poll":
                self._due.append(Outgoing(b"again", now_us + 4_000))

    report, _, _ = play(recording(*GOOD), Chatty(DEVICE))
    assert [(one.turn, one.got) for one in report.differences] == [(1, b"idleagain")]


def test_only_so_many_differences_are_kept_and_all_are_counted():
    frames = []
    for number in range(30):
        frames += [(number * 1_000, "site", b"poll"), (number * 1_000 + 500, "pump", b"busy")]
    report, _, _ = play(recording(*frames), Answering(DEVICE), keep=7)
    assert (report.different, len(report.differences), report.played) == (30, 7, 30)


def test_a_target_that_is_dumb_ends_it_early():
    frames = []
    for number in range(30):
        frames += [(number * 1_000, "site", b"poll"), (number * 1_000 + 500, "pump", b"idle")]
    report, ended_us, _ = play(recording(*frames), Answering({}), limit_us=100_000)
    assert (report.played, report.ended, report.same) == (5, "the target has said nothing in 5 turns", False)
    assert ended_us < 1_000_000


def test_the_other_side_can_be_played_to_a_target_that_speaks_first():
    class Master(Answering):
        """Polls again when it was answered."""

    master = Master({b"idle": b"lift?", b"no": b"sale?"}, opening=b"poll", turn_round_us=50_000)
    report, _, _ = play(recording(*GOOD), master, played=("pump",))
    assert report.same
    # The last answer is not played: what the master said to it is not in the capture.
    assert [data for _, data in master.heard] == [b"idle", b"no"]


def test_a_target_that_hangs_up_is_a_difference():
    kernel = VirtualKernel("replay", epoch_us=1_780_000_000_000_000)
    player = CapturePlayer(take_turns(recording(*GOOD), ["site"]))
    link = VirtualLink(kernel, "line", player, Answering({}), latency_us=100)
    kernel.call_at(1_000, link.cut)
    kernel.run(2_000)
    kernel.close()
    assert player.is_done
    assert player.report.ended == "the target hung up in turn 1 of 3"
    assert not player.report.same


def test_faults_of_the_recording_are_played_as_they_were_heard():
    capture = recording(
        (0, "site", b"", "drop", b"poll"),  # the pump never heard it
        (10_000, "site", b"po", "cut", b"poll"),
        (20_000, "site", b"poll"),
        (24_000, "pump", b"i?le", "flip", b"idle"),  # the pump said the right thing
        (30_000, "pump", b"idle", "duplicate", b""),  # and did not say it twice
        (40_000, "noise", b"\xff", "noise", b""),
        (50_000, "site", b"lift?"),
        (54_000, "pump", b"no"),
        ports=("site", "pump", "noise"),
    )
    device = Answering(DEVICE)
    report, _, _ = play(capture, device)
    assert report.same
    assert [data for _, data in device.heard] == [b"po", b"poll", b"\xff", b"lift?"]


def test_several_devices_of_a_line_are_played_together():
    frames = (
        (0, "site", b"1?"),
        (1_000, "east", b"1."),
        (2_000, "site", b"2?"),
        (3_000, "west", b"2."),
        (4_000, "site", b"1?"),
    )
    capture = recording(*frames, ports=("site", "east", "west"), medium="bus")
    turns = take_turns(capture, ["east", "west"])
    assert [(turn.said, turn.expected) for turn in turns] == [
        ((), b"1?"),
        (((1_000, b"1."),), b"2?"),
        (((3_000, b"2."),), b"1?"),
    ]


def test_it_plays_on_a_bus_too():
    kernel = VirtualKernel("replay", epoch_us=1_780_000_000_000_000)
    capture = Capture("line")
    bus = VirtualBus(kernel, "line", baud=9600, capture=capture)
    first = CapturePlayer(take_turns(recording(*GOOD), ["site"]))
    bus.attach(first, name="site")
    bus.attach(Answering(DEVICE), name="pump")
    kernel.call_at(0, first.begin, 0)
    kernel.call_at(1, first.on_wake)
    kernel.run(10_000_000)
    kernel.close()
    assert first.report.same
    # What it recorded plays as well.
    report, _, _ = play(capture, Answering(DEVICE))
    assert report.same


@pytest.mark.parametrize(
    ("capture", "played", "message"),
    [
        (recording(), ["site"], "site said nothing in this capture"),
        (recording((0, "pump", b"x")), ["site"], "site said nothing in this capture"),
        (recording(*GOOD), ["east"], "nobody is called 'east' in this capture; there are site, pump"),
        (recording(*GOOD), ["site", "pump"], "nobody is left to be the target"),
        (recording(*GOOD, medium="nodes"), ["site"], "IFSF nodes speak on two connections"),
    ],
)
def test_what_cannot_be_played_is_told(capture, played, message):
    with pytest.raises(ReplayError, match=message):
        take_turns(capture, played)


def test_a_capture_in_which_nobody_speaks_has_no_first_sender():
    with pytest.raises(ReplayError, match="the capture of line holds no bursts"):
        first_sender(recording())
