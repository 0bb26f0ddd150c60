"""The dispenser's delivery guarantee: the oldest record again and again, until it is acknowledged or given up.

Firmware ycxzfforever/LNG_V2.X_NEW, ``src/app.c`` `UpLoad_Fuel` and `ReplyCmd_ResponseOk`: an acknowledgement advances the
pointer only if its UID is the pointer plus one; after 50 sends without one (10 before November 2018) the record is
skipped, and the poll at which that happens stays unanswered.
"""

from __future__ import annotations

from collections import deque
from typing import Final, Generic, TypeVar

from protocols.aaff.states import UploadEvent, UploadState, next_upload
from protocols.sansio import LocalProtocolError

__all__ = ["SKIP_AFTER", "UID_LAST", "Upload", "next_uid"]

SKIP_AFTER: Final = 50
UID_LAST: Final = 10**12 - 1
"""Twelve digits; 1 follows."""

Record = TypeVar("Record")


def next_uid(uid: int, last: int = UID_LAST) -> int:
    """The UID after this one; after ``last`` comes 1."""
    return 1 if uid >= last else uid + 1


class Upload(Generic[Record]):
    """The records of one gun that no master has acknowledged.

    Args:
        pointer: UID of the last record that was acknowledged, as flash kept it.
        skip_after: unacknowledged sends after which a record is skipped; None never skips.
        uid_last: the UID after which the next one is 1.

    Attributes:
        state: see `UploadState`.
        pointer: as above; it moves with each acknowledgement and each skip.
        sends: how often the oldest record was sent.
        skipped: UIDs given up, newest last, as many as fit into 1,000.

    Raises:
        LocalProtocolError: ``skip_after`` below 1.
    """

    def __init__(
        self, pointer: int = 0, *, skip_after: int | None = SKIP_AFTER, uid_last: int = UID_LAST
    ) -> None:
        if skip_after is not None and skip_after < 1:
            raise LocalProtocolError(f"skip_after is {skip_after}, below 1")
        self.state = UploadState.EMPTY
        self.pointer = pointer
        self.sends = 0
        self.skipped: deque[int] = deque(maxlen=1_000)
        self._skip_after = skip_after
        self._uid_last = uid_last
        self._records: deque[tuple[int, Record]] = deque()

    def __len__(self) -> int:
        return len(self._records)

    def add(self, uid: int, record: Record) -> None:
        """A sale ended.

        Raises:
            LocalProtocolError: ``uid`` is not the one after the newest.
        """
        newest = self._records[-1][0] if self._records else self.pointer
        if uid != next_uid(newest, self._uid_last):
            raise LocalProtocolError(f"record {uid} does not follow {newest}")
        self._records.append((uid, record))
        self._step(UploadEvent.RECORD)

    def send(self) -> Record | None:
        """The oldest record, for an answer to a poll; None when it is skipped now, or when there is none."""
        if not self._records:
            return None
        if self._skip_after is not None and self.sends >= self._skip_after:
            self.give_up()
            return None
        self.sends += 1
        self._step(UploadEvent.SEND)
        return self._records[0][1]

    def give_up(self) -> int:
        """Skip the oldest record; returns its UID. Raises LocalProtocolError when there is none."""
        if not self._records:
            raise LocalProtocolError("no record waits")
        self.skipped.append(self._records[0][0])
        self._drop(UploadEvent.SKIP_MORE, UploadEvent.SKIP)
        return self.pointer

    def oldest(self) -> int | None:
        """UID of the oldest record, or None."""
        return self._records[0][0] if self._records else None

    def acknowledge(self, uid: int) -> bool:
        """A master says that it has this record. False: it is not the awaited one, and nothing changes."""
        if not self._records or uid != next_uid(self.pointer, self._uid_last):
            self._step(UploadEvent.ACK_OTHER)
            return False
        self._drop(UploadEvent.ACK_MORE, UploadEvent.ACK)
        return True

    def restart(self) -> None:
        """Power was lost. Records and pointer survive it."""
        self.sends = 0
        self._step(UploadEvent.RESTART if self._records else UploadEvent.RESTART_EMPTY)

    def _drop(self, more: UploadEvent, last: UploadEvent) -> None:
        self.pointer, _ = self._records.popleft()
        self.sends = 0
        self._step(more if self._records else last)

    def _step(self, event: UploadEvent) -> None:
        self.state = next_upload(self.state, event)
