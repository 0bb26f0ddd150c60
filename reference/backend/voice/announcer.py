"""Says verified payments aloud: each once, in the order of the proofs at its station, none when it is old.

The announcement is written in the transaction that takes the proof. One task a station works the queue off; it sends one at a time and
waits as long as the loudspeaker speaks, so that its queue stays here, where it can still be thinned out: what cannot be said within
`FRESH_US` of its proof is dropped, on record. A try whose outcome is unknown is repeated under the payment's own number, which the
loudspeaker (or its maker's platform) knows; so neither a lost answer nor a killed instance says anything twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Row, Update, bindparam, select, update

from protocols.chinese_numerals import MAX_AMOUNT_FEN
from protocols.loudspeaker import Announcement, staff_message
from reference.backend.core import Core
from reference.backend.outbox import Task
from reference.backend.store.database import Transaction
from reference.backend.store.schema import payments
from reference.backend.voice.channels import VoiceRefusedError, Voices, VoiceUnknownError, spoken_words
from reference.backend.voice.schema import announcements, voice_lines
from reference.backend.voice.settings import LoudspeakerSettings

__all__ = ["FRESH_US", "Announcer"]

_log = logging.getLogger("reference.backend.voice.announcer")

FRESH_US: Final = 30_000_000
"""None is said that is older than this."""

_KEPT_S: Final = 3
"""How long a broker keeps one for a loudspeaker that is away. What it gave out later would be late itself, and would hold up, unseen
from here, all that come behind it."""

_REACH_US: Final = (_KEPT_S + 1) * 1_000_000
"""What a message may need to its loudspeaker."""

_LONGEST_US: Final = 120_000_000
"""Longer than the longest announcement that a slow loudspeaker could say."""

_IN_FLIGHT_US: Final = 3_000_000
"""Longer than a call to a loudspeaker's service can take."""

_RETRY_US: Final = 1_000_000
_TOPIC: Final = "voice.speak"

_PAYERS: Final = {"wechatpay": "微信", "unionpay": "银联"}
"""What is said of a channel, by the first word of its name."""

_CHANNEL = select(payments.c.channel).where(payments.c.out_trade_no == bindparam("number"))
_HEAD = (
    select(announcements)
    .where(announcements.c.station == bindparam("of_station"), announcements.c.waits == 1)
    .order_by(announcements.c.id)
    .limit(1)
)
_AFTER = (
    select(announcements)
    .where(announcements.c.station == bindparam("of_station"), announcements.c.id > bindparam("after"))
    .order_by(announcements.c.id)
    .limit(100)
)
_LINE = select(voice_lines).where(voice_lines.c.station == bindparam("of_station")).with_for_update()
_FREE = (
    update(voice_lines)
    .where(voice_lines.c.station == bindparam("of_station"))
    .values(free_us=bindparam("until_us"))
)
_TRY = (
    update(announcements)
    .where(announcements.c.id == bindparam("number"))
    .values(state="sending", attempts=announcements.c.attempts + 1, updated_us=bindparam("now_us"))
)
_UNKNOWN = (
    update(announcements)
    .where(announcements.c.id == bindparam("number"), announcements.c.state == "sending")
    .values(state="unknown", updated_us=bindparam("now_us"))
)
_SENT = (
    update(announcements)
    .where(announcements.c.id == bindparam("number"), announcements.c.state == "sending")
    .values(state="sent", waits=None, sent_us=bindparam("now_us"), updated_us=bindparam("now_us"))
)
_DROP = (
    update(announcements)
    .where(announcements.c.id == bindparam("number"), announcements.c.waits == 1)
    .values(state="dropped", waits=None, reason=bindparam("why"), updated_us=bindparam("now_us"))
)


@dataclass(frozen=True, slots=True)
class _Step:
    """One announcement to send now."""

    id: int
    speaker: LoudspeakerSettings
    announcement: Announcement


class Announcer:
    """See the module."""

    def __init__(self, core: Core, voices: Voices) -> None:
        self.core = core
        self.voices = voices
        core.outbox.handlers[_TOPIC] = self._speak

    async def paid(self, tx: Transaction, order: Row[Any]) -> None:
        """An order has become PAID, which only a proof can do: have it said, if the station has a loudspeaker."""
        station = order.station
        amount_fen = order.paid_fen or order.payable_fen
        if station not in self.core.settings.loudspeakers or amount_fen <= 0:
            return
        number = order.out_trade_no or order.order_id
        now_us = self.core.clock_us()
        await self._lock(tx, station)
        waits = await tx.first(_HEAD, {"of_station": station})
        is_new = await tx.insert_new(
            announcements,
            {
                "station": station,
                "request_id": number,
                "order_id": order.order_id,
                "nozzle": order.nozzle,
                "amount_fen": amount_fen,
                "proved_us": now_us,
                "state": "queued",
                "waits": 1,
                "attempts": 0,
                "updated_us": now_us,
            },
        )
        tx.notify(f"voice/{station}")
        if is_new and waits is None:
            # Nobody is at work here: what is asked for and what is worked off see each other under the station's lock.
            await self.core.outbox.put(tx, _TOPIC, station, key=f"{_TOPIC}/{number}")

    async def for_staff(self, station: str, after: int, wait_ms: int) -> list[dict[str, Any]]:
        """Messages for the staff's phones, of announcements after a number; waits for the first up to ``wait_ms``."""
        hub = self.core.db.hub
        loop = asyncio.get_running_loop()
        end = loop.time() + wait_ms / 1000
        with hub.subscribe(f"voice/{station}") as news:
            while True:
                found = await self.core.db.run(lambda tx: self._messages(tx, station, after))
                left = end - loop.time()
                if found or left <= 0 or self.core.stopping:
                    return found
                await news.wait(left if hub.fallback_s is None else min(left, hub.fallback_s))

    async def _messages(self, tx: Transaction, station: str, after: int) -> list[dict[str, Any]]:
        rows = await tx.rows(_AFTER, {"of_station": station, "after": after})
        return [
            {
                "id": row.id,
                "state": row.state,
                "message": staff_message(
                    await self._announcement(tx, row), proved_us=row.proved_us, fresh_us=FRESH_US
                ),
            }
            for row in rows
            if row.amount_fen <= MAX_AMOUNT_FEN
        ]

    async def _lock(self, tx: Transaction, station: str) -> Row[Any]:
        row = await tx.first(_LINE, {"of_station": station})
        if row is None:
            await tx.insert_new(voice_lines, {"station": station, "free_us": 0})
            row = await tx.first(_LINE, {"of_station": station})
            assert row is not None  # noqa: S101 - inserted above
        return row

    async def _speak(self, task: Task) -> int | None:
        """Work a station's queue off; comes back when its loudspeaker is free."""
        station = task.subject
        while True:
            step = await self.core.db.run(lambda tx: self._take(tx, station))
            if not isinstance(step, _Step):
                return step
            try:
                await self.voices.say(
                    step.speaker, step.announcement, seq=step.id & 0xFFFF_FFFF, expires_s=_KEPT_S
                )
            except VoiceUnknownError as error:
                _log.warning("%s: %s: %s", station, step.announcement.request_id, error)
                await self._mark(_UNKNOWN, step)
                return self.core.clock_us() + _RETRY_US
            except VoiceRefusedError as error:
                await self._refused(station, step, str(error))
            else:
                await self._mark(_SENT, step)

    async def _take(self, tx: Transaction, station: str) -> _Step | int | None:
        """The next to send; or when to come back; or None, when nothing is left."""
        line = await self._lock(tx, station)
        speaker = self.core.settings.loudspeakers.get(station)
        while True:
            head = await tx.first(_HEAD, {"of_station": station})
            if head is None:
                return None
            now_us = self.core.clock_us()
            in_flight_us = head.updated_us + _IN_FLIGHT_US
            if head.state == "sending" and head.updated_us <= now_us < in_flight_us:
                return int(in_flight_us)  # somebody else is at it, or was killed at it
            # A clock that was set back must not silence a station until it has caught up.
            free_us = int(line.free_us) if line.free_us < now_us + _LONGEST_US else now_us
            # A try whose outcome is unknown goes again at once: its time to speak is booked already.
            if head.state == "queued" and free_us > now_us and self._is_fresh(head, free_us):
                return free_us
            if speaker is None:
                await self._drop(tx, head, "the station has no loudspeaker any more")
                continue
            if not self._is_fresh(head, max(now_us, free_us if head.state == "queued" else 0)):
                late = f"older than {FRESH_US // 1_000_000} s before "
                await self._drop(
                    tx, head, late + ("its turn" if head.state == "queued" else "anybody took it for sure")
                )
                continue
            announcement = await self._announcement(tx, head)
            try:
                words = spoken_words(speaker, announcement)
            except VoiceRefusedError as error:
                await self._drop(tx, head, str(error))
                continue
            if head.state == "queued":
                until_us = now_us + _speech_us(speaker, words)
                await tx.execute(_FREE, {"of_station": station, "until_us": until_us})
            await tx.execute(_TRY, {"number": head.id, "now_us": now_us})
            return _Step(head.id, speaker, announcement)

    async def _announcement(self, tx: Transaction, row: Row[Any]) -> Announcement:
        payment = await tx.first(_CHANNEL, {"number": row.request_id})
        # Without a payment it was paid from what the member has with us.
        payer = "会员" if payment is None else _PAYERS.get(payment.channel.partition("-")[0])
        return Announcement(
            request_id=row.request_id, amount_fen=row.amount_fen, nozzle=row.nozzle, payer=payer
        )

    @staticmethod
    def _is_fresh(row: Row[Any], at_us: int) -> bool:
        """Whether it is young enough to be said when it is sent then."""
        return bool(at_us + _REACH_US <= row.proved_us + FRESH_US)

    async def _mark(self, statement: Update, step: _Step) -> None:
        mark = {"number": step.id, "now_us": self.core.clock_us()}
        await self.core.db.run(lambda tx: tx.execute(statement, mark))

    async def _refused(self, station: str, step: _Step, why: str) -> None:
        """It will not be said: the next need not wait for it."""

        async def work(tx: Transaction) -> None:
            await self._lock(tx, station)
            await tx.execute(_FREE, {"of_station": station, "until_us": self.core.clock_us()})
            await self._record_drop(tx, step.id, step.announcement.request_id, why)

        await self.core.db.run(work)

    async def _drop(self, tx: Transaction, row: Row[Any], why: str) -> None:
        await self._record_drop(tx, row.id, row.request_id, why)

    async def _record_drop(self, tx: Transaction, number: int, request_id: str, why: str) -> None:
        _log.warning("payment %s is not announced: %s", request_id, why)
        await tx.execute(_DROP, {"number": number, "why": why[:200], "now_us": self.core.clock_us()})
        await self.core.alarm(tx, "announcement_dropped", request_id, why)


def _speech_us(speaker: LoudspeakerSettings, words: Sequence[str]) -> int:
    return sum(speaker.character_ms * len(word) + speaker.gap_ms for word in words) * 1_000
