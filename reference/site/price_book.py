"""Unit prices of the station: numbered sets, who asked for them, what bounds let through, since when each nozzle shows them.

A price comes into force when its pump has shown it, not when somebody wanted it. Whatever asks for a price (a person, a plan for
midnight, an optimiser) goes through the same gate: beyond the floor or the ceiling of its grade it is clamped, so that the
government's maximum retail price holds. All of it is on record in the journal and never changed there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from reference.site.journal import Journal

if TYPE_CHECKING:
    from reference.site.config import SiteConfig

__all__ = ["CONFIGURATION", "PlannedPrices", "PriceBook", "PriceShown"]

CONFIGURATION: Final = "configuration"
"""Who asked for the prices in the configuration file."""
BOUNDS: Final = "bounds"
"""Who asks when a price in force lies beyond bounds that have changed."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS price_sets (
    id INTEGER PRIMARY KEY AUTOINCREMENT, source TEXT NOT NULL, key TEXT UNIQUE, asked_us INTEGER NOT NULL,
    due_us INTEGER NOT NULL, prices TEXT NOT NULL, sent_us INTEGER, sent_no INTEGER
) STRICT;
CREATE TABLE IF NOT EXISTS price_log (
    id INTEGER PRIMARY KEY AUTOINCREMENT, price_set INTEGER NOT NULL, at_us INTEGER NOT NULL, nozzle INTEGER NOT NULL,
    what TEXT NOT NULL, asked_fen_per_l INTEGER NOT NULL, price_fen_per_l INTEGER NOT NULL
) STRICT;
CREATE TRIGGER IF NOT EXISTS price_log_is_never_changed BEFORE UPDATE ON price_log
    BEGIN SELECT RAISE(ABORT, 'the price log is append-only'); END;
CREATE TRIGGER IF NOT EXISTS price_log_is_never_deleted BEFORE DELETE ON price_log
    BEGIN SELECT RAISE(ABORT, 'the price log is append-only'); END;
CREATE TABLE IF NOT EXISTS prices_shown (
    id INTEGER PRIMARY KEY AUTOINCREMENT, nozzle INTEGER NOT NULL, price_set INTEGER NOT NULL,
    price_fen_per_l INTEGER NOT NULL, since_us INTEGER NOT NULL
) STRICT;
"""
_LOG = (
    "INSERT INTO price_log (price_set, at_us, nozzle, what, asked_fen_per_l, price_fen_per_l)"
    " VALUES (?,?,?,?,?,?)"
)
# Their order is by number: the clock may have been set back in between.
_SENT = (
    "UPDATE price_sets SET sent_us = ?, sent_no = (SELECT coalesce(max(sent_no), 0) + 1 FROM price_sets)"
    " WHERE id = ? AND sent_us IS NULL"
)
_SHOWN_KEPT = 8


class PlannedPrices(NamedTuple):
    """A set that waits for its time: number, Unix µs, fen per litre by nozzle."""

    price_set: int
    due_us: int
    prices: dict[int, int]


class PriceShown(NamedTuple):
    """A price that a nozzle shows: of which set, how much, since when (Unix µs, read back from the pump)."""

    price_set: int
    price_fen_per_l: int
    since_us: int


class PriceBook:
    """The price sets of one station.

    Args:
        journal: where they are kept.
        config: the station, with the bounds of each grade.
        clock_us: unix time in µs.
        alarm: tells a person.

    Raises:
        JournalError: they cannot be read or stored.
    """

    def __init__(
        self, journal: Journal, config: SiteConfig, clock_us: Callable[[], int], alarm: Callable[[str], None]
    ) -> None:
        self._journal = journal
        self._clock_us = clock_us
        self._alarm = alarm
        self._limits = config.price_limits
        self._grades = {n.nozzle: n.grade for point in config.fuelling_points for n in point.nozzles}
        journal.extend(_SCHEMA, {"price_sets": {"sent_no": "INTEGER"}})
        with journal.transaction() as db:  # sets of an earlier version: their order was that of their making
            db.execute("UPDATE price_sets SET sent_no = id WHERE sent_us IS NOT NULL AND sent_no IS NULL")
        self._shown: dict[int, list[PriceShown]] = {}
        rows = journal.rows(
            "SELECT nozzle, price_set, price_fen_per_l, since_us FROM prices_shown ORDER BY id"
        )
        for nozzle, *shown in rows:
            self._remember(nozzle, PriceShown(*shown))
        self._take_configuration(config)

    def _take_configuration(self, config: SiteConfig) -> None:
        """The file's prices, if they are not those that it had before: what was changed since stays in force."""
        told = {n.nozzle: n.price_fen_per_l for point in config.fuelling_points for n in point.nozzles}
        # As the file said them, not as bounds let them through: those may have moved.
        before: dict[int, int] = dict(
            self._journal.rows(
                "SELECT nozzle, asked_fen_per_l FROM price_log WHERE what IN ('asked', 'clamped')"
                " AND price_set IN (SELECT id FROM price_sets WHERE source = ?) ORDER BY id",
                CONFIGURATION,
            )
        )
        # A nozzle that shows nothing yet: it is new, or the process died before this was noted.
        new = {n: price for n, price in told.items() if before.get(n) != price or n not in self._shown}
        self._begin_with(new, CONFIGURATION)
        # Bounds that were drawn tighter hold for what is shown, too.
        shown = {nozzle: self._shown[nozzle][-1].price_fen_per_l for nozzle in told}
        self._begin_with({n: price for n, price in shown.items() if self._bounded(n, price) != price}, BOUNDS)

    def _begin_with(self, prices_fen_per_l: Mapping[int, int], source: str) -> None:
        if prices_fen_per_l:
            number, given = self.ask(prices_fen_per_l, source)
            for nozzle, price in given.items():
                self.confirm(nozzle, price, number)

    def applied(self, config: SiteConfig) -> SiteConfig:
        """The configuration with the prices that are in force, so that drivers begin with them."""
        lines = []
        for line in config.lines:
            points = [
                point.model_copy(
                    update={
                        "nozzles": tuple(
                            n.model_copy(
                                update={"price_fen_per_l": self._shown[n.nozzle][-1].price_fen_per_l}
                            )
                            for n in point.nozzles
                        )
                    }
                )
                for point in line.fuelling_points
            ]
            lines.append(line.model_copy(update={"fuelling_points": tuple(points)}))
        return config.model_copy(update={"lines": tuple(lines)})

    # -- asking --------------------------------------------------------------------------------------------------

    def ask(
        self,
        prices_fen_per_l: Mapping[int, int],
        source: str,
        *,
        due_us: int | None = None,
        key: str | None = None,
    ) -> tuple[int, dict[int, int]]:
        """Make a set: its number, and the prices as the bounds let them through.

        Args:
            prices_fen_per_l: wanted, by nozzle.
            source: who wants them, for the record.
            due_us: when they are to be sent (Unix µs); None: now, and they count as sent.
            key: names a plan; the same key again is the same set.

        Raises:
            KeyError: a nozzle is unknown.
            JournalError: nothing was stored.
        """
        given = {nozzle: self._bounded(nozzle, price) for nozzle, price in prices_fen_per_l.items()}
        now_us = self._clock_us()
        with self._journal.transaction() as db:
            known = db.execute("SELECT id, prices FROM price_sets WHERE key = ?", (key,)).fetchone()
            if known is not None:
                return int(known[0]), {int(nozzle): price for nozzle, price in json.loads(known[1]).items()}
            number = db.execute(
                "INSERT INTO price_sets (source, key, asked_us, due_us, prices) VALUES (?,?,?,?,?)",
                (source, key, now_us, now_us if due_us is None else due_us, json.dumps(given)),
            ).lastrowid
            if due_us is None:
                # In the same transaction: a set for now that failed must not come hours later, as a plan.
                db.execute(_SENT, (now_us, number))
            for nozzle, asked in prices_fen_per_l.items():
                what = "asked" if given[nozzle] == asked else "clamped"
                db.execute(_LOG, (number, now_us, nozzle, what, asked, given[nozzle]))
        for nozzle, asked in prices_fen_per_l.items():
            if given[nozzle] != asked:
                self._alarm(
                    f"nozzle {nozzle}: {source} wanted {asked} fen/l, beyond the bounds of grade {self._grades[nozzle]}:"
                    f" {given[nozzle]} fen/l"
                )
        return number or 0, given

    def _bounded(self, nozzle: int, price: int) -> int:
        grade = self._grades.get(nozzle)  # None: it was taken away since the set was made
        limits = None if grade is None else self._limits.get(grade)
        if limits is None:
            return price
        return max(limits.floor_fen_per_l, min(limits.ceiling_fen_per_l, price))

    def planned(self) -> list[PlannedPrices]:
        """Sets that were never sent, the one that is due first at the front."""
        rows = self._journal.rows(
            "SELECT id, due_us, prices FROM price_sets WHERE sent_us IS NULL ORDER BY due_us, id"
        )
        return [
            PlannedPrices(
                row[0],
                row[1],
                {
                    int(nozzle): self._bounded(int(nozzle), price)
                    for nozzle, price in json.loads(row[2]).items()
                },
            )
            for row in rows
        ]

    def unfinished(self) -> dict[int, int]:
        """Prices that were sent and never seen on their nozzles: the process may have died before its pumps heard of them."""
        wanted: dict[int, int] = {}
        for (text,) in self._journal.rows(
            "SELECT prices FROM price_sets WHERE sent_no IS NOT NULL ORDER BY sent_no"
        ):
            wanted |= {
                int(nozzle): self._bounded(int(nozzle), price) for nozzle, price in json.loads(text).items()
            }
        return {
            nozzle: price
            for nozzle, price in wanted.items()
            if nozzle in self._shown and self._shown[nozzle][-1].price_fen_per_l != price
        }

    def sent(self, price_set: int) -> bool:
        """Note that a set is sent now. False: it was sent before, whatever the clock says meanwhile."""
        with self._journal.transaction() as db:
            return db.execute(_SENT, (self._clock_us(), price_set)).rowcount == 1

    # -- what pumps show -----------------------------------------------------------------------------------------

    def confirm(self, nozzle: int, price_fen_per_l: int, price_set: int | None = None) -> None:
        """A pump has shown a price: it is in force from now on."""
        number = self._newest(nozzle, price_fen_per_l) if price_set is None else price_set
        shown = PriceShown(number, price_fen_per_l, self._clock_us())
        with self._journal.transaction() as db:
            db.execute(
                "INSERT INTO prices_shown (nozzle, price_set, price_fen_per_l, since_us) VALUES (?,?,?,?)",
                (nozzle, *shown),
            )
            db.execute(_LOG, (number, shown.since_us, nozzle, "shown", price_fen_per_l, price_fen_per_l))
        self._remember(nozzle, shown)

    def refused(self, nozzle: int, price_fen_per_l: int) -> None:
        """A pump did not take its price; it shows this one (0: unknown)."""
        last = self._shown[nozzle][-1].price_set
        with self._journal.transaction() as db:
            db.execute(_LOG, (last, self._clock_us(), nozzle, "refused", price_fen_per_l, price_fen_per_l))

    def _newest(self, nozzle: int, price_fen_per_l: int) -> int:
        """The set that a nozzle shows: the newest one sent that gives it this price, 0 if none ever did."""
        rows = self._journal.rows(
            "SELECT id, prices FROM price_sets WHERE sent_no IS NOT NULL ORDER BY sent_no DESC LIMIT 100"
        )
        wanted = str(nozzle)
        return next((row[0] for row in rows if json.loads(row[1]).get(wanted) == price_fen_per_l), 0)

    def _remember(self, nozzle: int, shown: PriceShown) -> None:
        kept = self._shown.setdefault(nozzle, [])
        kept.append(shown)
        del kept[:-_SHOWN_KEPT]

    def of_sale(self, nozzle: int, price_fen_per_l: int, started_us: int) -> PriceShown | None:
        """Under which set a delivery at this price was sold; None: no set ever gave the nozzle this price.

        A pump that sells at a price before it was read back shows it since the delivery began, at the latest.
        """
        for one in reversed(self._shown[nozzle]):
            if one.price_fen_per_l == price_fen_per_l:
                return one
        number = self._newest(nozzle, price_fen_per_l)
        return PriceShown(number, price_fen_per_l, started_us) if number else None

    def log(self) -> list[tuple[int, int, int, str, int, int]]:
        """The audit trail, oldest first: (set, Unix µs, nozzle, what, fen per litre as asked, as given)."""
        return self._journal.rows(
            "SELECT price_set, at_us, nozzle, what, asked_fen_per_l, price_fen_per_l FROM price_log ORDER BY id"
        )
