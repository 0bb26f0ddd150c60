"""The transaction buffer of an IFSF fuelling point: what was sold and not yet cleared, and a short history."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from protocols.ifsf import TransactionState, UnlockTarget

__all__ = ["NOBODY", "SEQUENCE_MOST", "Transaction", "TransactionBuffer"]

SEQUENCE_MOST: Final = 9999
NOBODY: Final = b"\x00\x00"


@dataclass(slots=True)
class Transaction:
    """One transaction, as its database shows it.

    Attributes:
        sequence: 1..9999.
        released_by: controlling device that released it; ``FF FF`` for none (made stand-alone).
        mode: fuelling mode.
        logical: logical nozzle.
        product: product number.
        volume_ml, amount_fen, price_fen_per_l: as the display showed them.
        start_total_ml, end_total_ml: the nozzle's totaliser before and after.
        offline: number of the off-line record, 0 for a sale with a controlling device.
        delivery_sequence: number of the delivery in the model's journal, 0 for a zero transaction that is not in it.
        state: cleared, payable or locked.
        locked_by: controlling device that locked it.
    """

    sequence: int
    released_by: bytes
    mode: int
    logical: int
    product: int
    volume_ml: int
    amount_fen: int
    price_fen_per_l: int
    start_total_ml: int
    end_total_ml: int
    offline: int = 0
    delivery_sequence: int = 0
    state: TransactionState = TransactionState.PAYABLE
    locked_by: bytes = NOBODY


class TransactionBuffer:
    """Transactions of one fuelling point by number. It survives power cuts; nothing in it is ever overwritten.

    Args:
        history: cleared transactions that stay readable.
        unlock_to: what an unlocked transaction becomes; the sources differ (`protocols.ifsf.UnlockTarget`).
        sequence: the last number used.
    """

    def __init__(self, *, history: int = 8, unlock_to: UnlockTarget = "payable", sequence: int = 0) -> None:
        self.history = history
        self.last_sequence = sequence
        self.offline_records = 0
        self._unlock_to = unlock_to
        self._open: dict[int, Transaction] = {}
        self._cleared: deque[Transaction] = deque()

    def __len__(self) -> int:
        """Transactions that are payable or locked."""
        return len(self._open)

    @property
    def open(self) -> list[Transaction]:
        """What is payable or locked, oldest first."""
        return list(self._open.values())

    @property
    def is_full(self) -> bool:
        """No number is free: another sale could not be told from an old one."""
        return len(self._open) >= SEQUENCE_MOST - 1

    def next_sequence(self) -> int:
        """Take the next number, wrapping from 9999 to 1 and passing over numbers that are still open."""
        number = self.last_sequence % SEQUENCE_MOST + 1
        while number in self._open:
            number = number % SEQUENCE_MOST + 1
        self.last_sequence = number
        return number

    def add(self, transaction: Transaction) -> None:
        """Keep a transaction. A cleared one with its number is forgotten."""
        self._cleared = deque(old for old in self._cleared if old.sequence != transaction.sequence)
        self._open[transaction.sequence] = transaction

    def get(self, sequence: int) -> Transaction | None:
        """A transaction by its number, open or lately cleared."""
        found = self._open.get(sequence)
        if found is None:
            found = next((old for old in self._cleared if old.sequence == sequence), None)
        return found

    def lock(self, transaction: Transaction, controller: bytes) -> bool:
        """Payable to locked by this device."""
        if transaction.state is not TransactionState.PAYABLE:
            return False
        transaction.state = TransactionState.LOCKED
        transaction.locked_by = controller
        return True

    def unlock(self, transaction: Transaction, controller: bytes) -> bool:
        """Locked by this device to the target of the switch."""
        if transaction.state is not TransactionState.LOCKED or transaction.locked_by != controller:
            return False
        transaction.locked_by = NOBODY
        if self._unlock_to == "cleared":
            self._put_away(transaction)
        else:
            transaction.state = TransactionState.PAYABLE
        return True

    def clear(self, transaction: Transaction, controller: bytes) -> bool:
        """Payable, or locked by this device, to cleared."""
        locked = transaction.state is TransactionState.LOCKED
        if transaction.state is TransactionState.CLEARED or (locked and transaction.locked_by != controller):
            return False
        transaction.locked_by = NOBODY
        self._put_away(transaction)
        return True

    def _put_away(self, transaction: Transaction) -> None:
        transaction.state = TransactionState.CLEARED
        del self._open[transaction.sequence]
        self._cleared.append(transaction)
        while len(self._cleared) > self.history:
            self._cleared.popleft()
