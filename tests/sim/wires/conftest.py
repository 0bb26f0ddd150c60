"""Tiny machines that the wire tests put on wires."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from protocols.sansio import Outgoing
from sim.kernel import VirtualKernel
from sim.wires import VirtualBus


class Scripted:
    """Sends what its script says, at its instants, and notes what it hears and when."""

    def __init__(self, *script: tuple[int, bytes]) -> None:
        self.on_wake: Callable[[], None] | None = None
        self.script = list(script)
        self.heard: list[tuple[int, bytes]] = []
        self.links: list[tuple[int, str]] = []
        self._due: list[Outgoing] = []

    def receive_data(self, data: bytes, now_us: int) -> None:
        self.heard.append((now_us, data))

    def data_to_send(self, now_us: int) -> list[Outgoing]:
        due, self._due = self._due, []
        return due

    def next_timer(self) -> int | None:
        return self.script[0][0] if self.script else None

    def handle_timer(self, now_us: int) -> None:
        while self.script and self.script[0][0] <= now_us:
            self._due.append(Outgoing(self.script.pop(0)[1]))

    def connection_made(self, now_us: int) -> None:
        self.links.append((now_us, "up"))

    def connection_lost(self, now_us: int) -> None:
        self.links.append((now_us, "down"))


class Countdown:
    """Answers the number n (one byte) with n - 1 after a turn-round, and stops at 0."""

    def __init__(self, *, serve: int | None = None, turn_round_us: int = 0) -> None:
        self.on_wake: Callable[[], None] | None = None
        self.events: list[tuple[str, int]] = []
        self.times: list[int] = []
        self._turn_round_us = turn_round_us
        self._serve = serve
        self._due: list[Outgoing] = []

    @property
    def is_done(self) -> bool:
        return bool(self.events) and self.events[-1][1] == 0

    def receive_data(self, data: bytes, now_us: int) -> None:
        for number in data:
            self.events.append(("heard", number))
            self.times.append(now_us)
            if number:
                self._say(number - 1, now_us + self._turn_round_us)

    def data_to_send(self, now_us: int) -> list[Outgoing]:
        due, self._due = self._due, []
        return due

    def next_timer(self) -> int | None:
        return 0 if self._serve is not None else None

    def handle_timer(self, now_us: int) -> None:
        if self._serve is not None:
            number, self._serve = self._serve, None
            self._say(number, now_us)

    def _say(self, number: int, not_before_us: int) -> None:
        self.events.append(("said", number))
        self._due.append(Outgoing(bytes([number]), not_before_us))


class ToyDevice:
    """Polled device: answers ``A ?`` with its news, or with ``A .`` when there is none."""

    def __init__(self, address: int) -> None:
        self.address = address
        self.on_wake: Callable[[], None] | None = None
        self.news: list[int] = []
        self._due: list[Outgoing] = []

    def happen(self, number: int) -> None:
        self.news.append(number)
        if self.on_wake is not None:
            self.on_wake()

    def quiet(self, address: int) -> bool:
        return address == self.address and not self.news

    def receive_data(self, data: bytes, now_us: int) -> None:
        if data == bytes([self.address, ord("?"), 0xFA]):
            answer = bytes([self.address, *self.news[:1]]) if self.news else bytes([self.address, ord(".")])
            del self.news[:1]
            self._due.append(Outgoing(answer, now_us + 2_000))

    def data_to_send(self, now_us: int) -> list[Outgoing]:
        due, self._due = self._due, []
        return due

    def next_timer(self) -> int | None:
        return None

    def handle_timer(self, now_us: int) -> None:
        raise AssertionError("no timer was asked for")


class ToyMaster:
    """Polls each address in its own slot of a 250 ms grid; leaves out quiet ones when the host says which those are."""

    PERIOD_US = 250_000
    TIMEOUT_US = 25_000

    def __init__(self, addresses: list[int]) -> None:
        self.on_wake: Callable[[], None] | None = None
        self.is_quiet: Callable[[int], bool] | None = None
        self.heard: list[tuple[int, bytes]] = []
        self.missed: list[tuple[int, int]] = []
        self.polls = 0
        count = len(addresses)
        self._next = {address: k * self.PERIOD_US // count for k, address in enumerate(addresses)}
        self._asked: int | None = None
        self._deadline_us: int | None = None
        self._due: list[Outgoing] = []
        self._now_us = 0

    def wake(self, now_us: int) -> None:
        assert now_us >= self._now_us, "time never runs backwards"
        self._now_us = now_us

    def receive_data(self, data: bytes, now_us: int) -> None:
        self._now_us = now_us
        if self._asked is not None and data[:1] == bytes([self._asked]):
            self._asked = self._deadline_us = None
            if data[1:] != b".":
                self.heard.append((now_us, data))

    def data_to_send(self, now_us: int) -> list[Outgoing]:
        due, self._due = self._due, []
        return due

    def next_timer(self) -> int | None:
        wanted = [] if self._deadline_us is None else [self._deadline_us]
        for address, due_us in self._next.items():
            if due_us < self._now_us:
                due_us += -(-(self._now_us - due_us) // self.PERIOD_US) * self.PERIOD_US
                self._next[address] = due_us
            if self.is_quiet is None or not self.is_quiet(address):
                wanted.append(due_us)
        return min(wanted, default=None)

    def handle_timer(self, now_us: int) -> None:
        assert now_us >= self._now_us, "time never runs backwards"
        self._now_us = now_us
        if self._deadline_us is not None and self._deadline_us <= now_us:
            assert self._asked is not None
            self.missed.append((now_us, self._asked))
            self._asked = self._deadline_us = None
        for address, due_us in self._next.items():
            if due_us <= now_us and self._asked is None:
                self._next[address] = due_us + self.PERIOD_US
                if self.is_quiet is not None and self.is_quiet(address):
                    continue
                self.polls += 1
                self._asked = address
                self._deadline_us = now_us + self.TIMEOUT_US
                self._due.append(Outgoing(bytes([address, ord("?"), 0xFA])))


@pytest.fixture
def scripted() -> type[Scripted]:
    return Scripted


@pytest.fixture
def countdown() -> type[Countdown]:
    return Countdown


@pytest.fixture
def toy_device() -> type[ToyDevice]:
    return ToyDevice


@pytest.fixture
def toy_master() -> type[ToyMaster]:
    return ToyMaster


@pytest.fixture
def make_kernel() -> Iterator[Callable[..., VirtualKernel]]:
    made: list[VirtualKernel] = []

    def make(seed: str | int = "wires", **options: object) -> VirtualKernel:
        kernel = VirtualKernel(seed, epoch_us=1_780_000_000_000_000, **options)  # type: ignore[arg-type]
        made.append(kernel)
        return kernel

    yield make
    for kernel in made:
        kernel.close()


@pytest.fixture
def kernel(make_kernel: Callable[..., VirtualKernel]) -> VirtualKernel:
    return make_kernel()


@pytest.fixture
def make_bus(kernel: VirtualKernel) -> Callable[..., VirtualBus]:
    def make(*machines: object, **options: object) -> VirtualBus:
        settings: dict[str, object] = {"baud": 9600, "bits_per_char": 10, **options}
        bus = VirtualBus(kernel, "line", **settings)  # type: ignore[arg-type]
        for name, machine in zip("abcdefgh", machines, strict=False):
            bus.attach(machine, name=name)  # type: ignore[arg-type]
        return bus

    return make
