"""What a site controller shows of itself: a status page to its operator, set-up and live figures to the backend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reference.site.pumps.driver import PointStatus
from reference.site.pumps.events import PointState

if TYPE_CHECKING:
    from reference.site.controller import SiteController

__all__ = ["LiveReadings", "snapshot", "station_setup"]


def snapshot(site: SiteController) -> dict[str, Any]:
    """A status page as JSON-able data."""
    points = []
    for number in site.points:
        status = site.driver_of[number].status(number)
        points.append(
            {
                "fuelling_point": number,
                "state": str(status.state),
                "nozzle_out": status.nozzle_out,
                "volume_ml": status.volume_ml,
                "amount_fen": status.amount_fen,
                "missed_polls": status.missed_polls,
            }
        )
    printer = None if site.receipts is None else site.receipts.printer
    return {
        "station": site.config.station,
        "backend_up": site.backend_up,
        "trouble": site.uplink.trouble,
        "unsent_sales": site.journal.count_unsent(),
        "refused_sales": len(site.journal.refusals()),
        "alarms": site.alarms[-20:],
        "gauge": None if site.gauge is None else site.gauge.snapshot(),
        "printer": None
        if printer is None
        else {
            "state": printer.state,
            "waiting": len(printer),
            "problems": list(printer.problems),
            "near_end": printer.near_end,
        },
        "fuelling_points": points,
    }


def station_setup(site: SiteController) -> dict[str, Any]:
    """The station with its nozzles and their prices, as the backend's API takes it."""
    return {
        "name": site.config.name or site.config.station,
        "taxpayer_id": site.config.taxpayer_id or None,
        "lift_policy": site.config.lift_policy,
        "nozzles": [
            {
                "nozzle": number,
                "fuelling_point": site.point_of[number],
                "grade": nozzle.grade,
                "price_fen_per_l": site.prices[number],
                "tank": nozzle.tank,
            }
            for number, nozzle in site.nozzles.items()
        ],
    }


class LiveReadings:
    """State and running figures of every nozzle, as the backend's API takes them.

    They are asked for several times a second, and most points have not changed: those give the very same readings again.
    """

    def __init__(self, site: SiteController) -> None:
        self._asked = [
            (number, site.driver_of[number].status, tuple(nozzle.nozzle for nozzle in point.nozzles))
            for number, point in site.points.items()
        ]
        self._told: dict[int, tuple[PointStatus, list[dict[str, Any]]]] = {}

    def __call__(self) -> list[dict[str, Any]]:
        """What is so now, always in the same order. Nobody may change it."""
        told = self._told
        readings: list[dict[str, Any]] = []
        for number, status_of, nozzles in self._asked:
            status = status_of(number)
            known = told.get(number)
            if known is None or known[0] != status:
                known = told[number] = (status, _of_point(nozzles, status))
            readings += known[1]
        return readings


def _of_point(nozzles: tuple[int, ...], status: PointStatus) -> list[dict[str, Any]]:
    in_use = status.delivering if status.nozzle_out is None else status.nozzle_out
    return [
        {
            "nozzle": nozzle,
            "state": str(status.state if in_use is None or in_use == nozzle else PointState.CLOSED),
            "volume_ml": status.volume_ml if status.delivering == nozzle else 0,
            "amount_fen": status.amount_fen if status.delivering == nozzle else 0,
        }
        for nozzle in nozzles
    ]
