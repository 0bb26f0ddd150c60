"""Every range of a bank reads as the same registers of the whole, from both kinds of source, and known replies never outlive a change."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from protocols.modbus import ModbusServer, Refusal, RegisterBank, Scope

FIRST, LAST = 200, 234
"""The read-only block of a fuelling point."""


class Plain:
    """Values that fill all their registers, wider ones differently in each."""

    def __init__(self) -> None:
        self.version = 0

    def read_register(self, scope: Scope, name: str, now_us: int) -> int:
        seed = sum(name.encode()) + scope.fuelling_point + scope.nozzle + self.version + now_us
        return int.from_bytes(struct.pack(">4H", *((seed * factor) & 0xFFFF for factor in (3, 5, 7, 11))))

    def generation(self) -> int | None:
        return self.version

    def write_register(self, scope: Scope, name: str, value: int, now_us: int) -> None:
        del scope, name, value, now_us
        self.version += 1


class Readers(Plain):
    def register_reader(self, scope: Scope, name: str) -> Callable[[int], int]:
        return lambda now_us: self.read_register(scope, name, now_us)


@pytest.mark.parametrize("kind", [Plain, Readers])
def test_any_range_reads_as_the_same_registers_of_the_whole(kind):
    bank = RegisterBank(kind(), {1: (1, 2)})
    whole = bank.read(FIRST, LAST - FIRST + 1, 5)
    assert len(whole) == 2 * (LAST - FIRST + 1)
    assert len(set(struct.unpack(f">{LAST - FIRST + 1}H", whole))) > 20
    for start in range(FIRST, LAST + 1):
        for count in range(1, LAST + 2 - start):
            at = 2 * (start - FIRST)
            assert bank.read(start, count, 5) == whole[at : at + 2 * count], (start, count)
    with pytest.raises(Refusal):
        bank.read(190, 1, 5)


def ask(server: ModbusServer, transaction_id: int, pdu: bytes) -> bytes:
    server.receive_data(struct.pack(">HHHB", transaction_id, 0, 1 + len(pdu), 1) + pdu, 0)
    return b"".join(burst.data for burst in server.data_to_send(0))


def test_a_known_reply_carries_the_new_transaction_and_does_not_outlive_a_write():
    source = Plain()
    server = ModbusServer(RegisterBank(source, {1: (1,)}), 1)
    read = bytes.fromhex("03 00 C8 00 04")
    first, again = ask(server, 1, read), ask(server, 0xBEEF, read)
    assert again == b"\xbe\xef" + first[2:]
    assert server.requests == 2
    # A write and a read in one segment: the read shows what the write did.
    write = struct.pack(">HHHB", 7, 0, 6, 1) + bytes.fromhex("06 00 F7 00 00")
    server.receive_data(write + struct.pack(">HHHB", 8, 0, 6, 1) + read, 0)
    replies = [burst.data for burst in server.data_to_send(0)]
    assert len(replies) == 2
    assert replies[1][2:] != first[2:]
    assert ask(server, 9, read)[2:] == replies[1][2:]
    assert server.requests == 5


def test_half_a_request_after_a_known_one_is_waited_for():
    server = ModbusServer(RegisterBank(Plain(), {1: (1,)}), 1)
    read = bytes.fromhex("03 00 C8 00 04")
    first = ask(server, 1, read)
    frame = struct.pack(">HHHB", 2, 0, 6, 1) + read
    for cut in range(1, len(frame)):
        server.receive_data(frame[:cut], 0)
        assert server.data_to_send(0) == []
        server.receive_data(frame[cut:], 0)
        assert [burst.data[2:] for burst in server.data_to_send(0)] == [first[2:]]
