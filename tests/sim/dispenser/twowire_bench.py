"""A two-wire dispenser at the bench: an independent reader and writer of its wire, and the customer's hand."""

from __future__ import annotations

from sim.dispenser import Dispenser, FuellingPoint, TwoWireDispenser, TwoWireQuirks

S = 1_000_000


# An independent reader and writer: the published layouts by hand, nothing of protocols.twowire.


def nibble_sum_check(words: list[int]) -> int:
    return 0xE0 + (16 - sum(word % 16 for word in words) % 16) % 16


def least_first(value: int, count: int) -> list[int]:
    return [0xE0 + int(digit) for digit in reversed(str(value).zfill(count))]


def number(words: bytes) -> int:
    return int("".join(str(word - 0xE0) for word in reversed(words)))


def sent_block(body: list[int]) -> bytes:
    words = [0xFF, 0xE0 + (16 - (len(body) + 3)) % 16, *body, 0xFB]
    return bytes([*words, nibble_sum_check(words), 0xF0])


def money_preset(fen: int) -> bytes:
    return sent_block([0xF2, 0xF8, *least_first(fen, 6)])


def volume_preset(centilitres: int, grade: int | None = None) -> bytes:
    named = [] if grade is None else [0xF4, 0xF6, 0xE0 + grade - 1]
    return sent_block([0xF1, *named, 0xF8, *least_first(centilitres, 5)])


def price_block(grade: int, price: int, level: int = 1) -> bytes:
    return sent_block([0xF3 + level, 0xF6, 0xE0 + grade - 1, 0xF7, *least_first(price, 4)])


NOZZLE_QUERY = bytes.fromhex("FF E9 FE E0 E1 E0 FB EE F0")


class Asker:
    """Says single things to one pump and keeps the clock."""

    def __init__(self, machine: TwoWireDispenser, pump: int = 1) -> None:
        self.machine = machine
        self.nibble = pump % 16
        self.now_us = 0
        self.pause_us = 100_000

    def raw(self, data: bytes) -> bytes:
        self.now_us += self.pause_us
        self.machine.receive_data(data, self.now_us)
        return b"".join(out.data for out in self.machine.data_to_send(self.now_us))

    def say(self, command: int) -> bytes:
        return self.raw(bytes((command * 16 + self.nibble,)))

    def status(self) -> int | None:
        answer = self.say(0)
        if not answer:
            return None
        assert len(answer) == 1
        assert answer[0] % 16 == self.nibble
        return answer[0] // 16

    def send(self, block: bytes) -> bytes:
        assert self.say(2) == bytes((0xD0 + self.nibble,))
        return self.raw(block)

    def transaction(self) -> dict[str, int]:
        words = self.say(4)
        assert len(words) == 33
        assert words[:3] == b"\xff\xf1\xf8"
        assert words[31] == nibble_sum_check(list(words[:31]))
        assert (words[8], words[10], words[11], words[16], words[23], words[30]) == (
            0xF6,
            0xF4,
            0xF7,
            0xF9,
            0xFA,
            0xFB,
        )
        return {
            "pump": words[4] - 0xE0 + 1,
            "grade": words[9] - 0xE0 + 1,
            "price": number(words[12:16]),
            "ml": number(words[17:23]),
            "fen": number(words[24:30]),
        }

    def totals(self) -> list[tuple[int, int, int, int]]:
        words = self.say(5)
        assert (len(words) - 4) % 30 == 0
        assert words[-2] == nibble_sum_check(list(words[:-2]))
        found = []
        for at in range(1, len(words) - 3, 30):
            assert (words[at], words[at + 2], words[at + 11], words[at + 20], words[at + 25]) == (
                0xF6,
                0xF9,
                0xFA,
                0xF4,
                0xF5,
            )
            found.append(
                (
                    number(words[at + 3 : at + 11]),
                    number(words[at + 12 : at + 20]),
                    number(words[at + 21 : at + 25]),
                    number(words[at + 26 : at + 30]),
                )
            )
        return found

    def money(self) -> int:
        words = self.say(6)
        assert len(words) == 6
        return number(words)

    def nozzle(self) -> int | None:
        answer = self.send(NOZZLE_QUERY)
        if not answer:
            return None
        text = "".join(chr(byte - 128) for byte in answer)
        assert (len(text), text[0], text[-2:]) == (19, ":", "\r\n")
        return int(text[14], 16)


class Bench:
    def __init__(self, make_point, *, pump: int = 1, quirks: TwoWireQuirks | None = None, **profile) -> None:
        self.point: FuellingPoint = make_point(**profile)
        self.dispenser = Dispenser([self.point])
        self.machine = TwoWireDispenser(self.dispenser, {pump: self.point}, quirks=quirks)
        self.asker = Asker(self.machine, pump)

    def later(self, seconds: float) -> int:
        self.asker.now_us += round(seconds * S)
        self.machine.handle_timer(self.asker.now_us)
        return self.asker.now_us

    def fill(self, seconds: float = 10, nozzle: int = 1) -> None:
        self.point.lift(nozzle, self.later(0.1))
        self.asker.say(1)
        self.point.squeeze(self.later(0.5), 30_000)
        self.later(seconds)

    def hang_up(self) -> None:
        self.point.hang_up(self.later(0.1))
