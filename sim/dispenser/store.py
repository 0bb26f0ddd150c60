"""The non-volatile memory of a dispenser's board: every record twice, each copy with its own checksum.

Field boards keep their sales in FRAM with a checksum and a backup copy (public firmware of Chinese card pumps). A copy
is written after the other, so power that fails at any instant leaves at least one whole copy of what stood before.
The checksum here is CRC-32; which one a make uses nobody outside can tell.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import asdict
from typing import Any, Final, Literal
from zlib import crc32

from .events import Component, Delivery

__all__ = ["COPIES", "RecordStore", "decode_delivery", "encode_delivery"]

COPIES: Final = 2
_CRC_BYTES: Final = 4

Copy = Literal[0, 1]


def encode_delivery(delivery: Delivery) -> bytes:
    """One record with its checksum before it."""
    return _seal(json.dumps(asdict(delivery), separators=(",", ":")).encode())


def decode_delivery(record: bytes) -> Delivery | None:
    """The delivery, or None when the checksum says that the record is damaged."""
    body = _open(record)
    if body is None:
        return None
    fields = json.loads(body)
    fields["flags"] = tuple(fields["flags"])
    fields["components"] = tuple(Component(**part) for part in fields["components"])
    return Delivery(**fields)


class RecordStore:
    """The board's memory: a ring of sales records and one record of the state, each in two copies.

    Attributes:
        repaired: copies that were damaged and rewritten from the other one.
        lost: sales records of which both copies were damaged, counted.
        is_damaged: some record is not as it was written; reading shows what is left of it.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.repaired = 0
        self.lost = 0
        self.is_damaged = False
        self._records: tuple[deque[bytes], deque[bytes]] = (deque(maxlen=limit), deque(maxlen=limit))
        self._state = [b"", b""]

    def __len__(self) -> int:
        return len(self._records[0])

    # --- sales ---------------------------------------------------------------------------------------------------

    def append(self, delivery: Delivery) -> None:
        """Store a record in both copies; the oldest one makes room when the ring is full."""
        record = encode_delivery(delivery)
        for copy in self._records:
            copy.append(record)

    def read_all(self) -> list[Delivery]:
        """All records that can be read, oldest first. A damaged copy is rewritten from the good one."""
        first, second = self._records
        found: list[Delivery] = []
        broken: list[int] = []
        for index in range(len(first)):
            good = decode_delivery(first[index])
            other = decode_delivery(second[index])
            if good is None and other is None:
                broken.append(index)
                continue
            if good is None:
                first[index] = second[index]
                self.repaired += 1
            elif other is None:
                second[index] = first[index]
                self.repaired += 1
            found.append(good or other)  # type: ignore[arg-type]  # one of them is there
        for index in reversed(broken):
            del first[index], second[index]
        self.lost += len(broken)
        self.is_damaged = False
        return found

    # --- the state -----------------------------------------------------------------------------------------------

    def write_state(self, state: dict[str, Any]) -> None:
        """Store the state in both copies."""
        self._state[:] = [_sealed(state)] * COPIES

    def tear_state(self, old: dict[str, Any], new: dict[str, Any], *, copy: Copy, done_permille: int) -> None:
        """Leave the memory as power leaves it that fails while ``copy`` is written: so much of it is new.

        Copy 0 is written first; while copy 1 is written copy 0 is whole and new.
        """
        before, after = _sealed(old), _sealed(new)
        size = max(len(before), len(after))
        cut = size * done_permille // 1000
        torn = after[:cut].ljust(cut, b"\xff") + before[cut:]
        self._state[:] = [torn, before] if copy == 0 else [after, torn]

    def read_state(self) -> dict[str, Any] | None:
        """The newest whole state; None when both copies are damaged or nothing was ever written."""
        bodies = [_open(record) for record in self._state]
        good = next((body for body in bodies if body is not None), None)
        if good is None:
            return None
        for copy, body in enumerate(bodies):
            if body is None:
                self._state[copy] = self._state[1 - copy]
                self.repaired += 1
        state: dict[str, Any] = json.loads(good)
        return state

    # --- damage --------------------------------------------------------------------------------------------------

    def flip_bit(self, copy: Copy, bit: int, *, record: int | None = None) -> None:
        """Damage one bit of one copy: of a sales record (0 is the oldest), or of the state (None).

        Raises:
            IndexError: there is no such record or bit.
        """
        held = self._state[copy] if record is None else self._records[copy][record]
        self.is_damaged = True
        damaged = bytearray(held)
        damaged[bit // 8] ^= 1 << bit % 8
        if record is None:
            self._state[copy] = bytes(damaged)
        else:
            self._records[copy][record] = bytes(damaged)


def _sealed(state: dict[str, Any]) -> bytes:
    return _seal(json.dumps(state, separators=(",", ":")).encode())


def _seal(body: bytes) -> bytes:
    return crc32(body).to_bytes(_CRC_BYTES) + body


def _open(record: bytes) -> bytes | None:
    body = record[_CRC_BYTES:]
    whole = len(record) > _CRC_BYTES and int.from_bytes(record[:_CRC_BYTES]) == crc32(body)
    return body if whole else None
