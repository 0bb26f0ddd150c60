"""From the scenario file's words to the simulation's own: latencies, and the site controller's configuration."""

from __future__ import annotations

from typing import Any, assert_never

from reference.site import SiteConfig
from scenarios.model import Constant, Exponential, Latency, Line, LogNormal, Station, Uniform
from sim.latency import LatencyProfile

__all__ = ["gauge_config", "latency_profile", "scaled", "site_config"]

_MS = 1_000


def latency_profile(latency: Latency) -> LatencyProfile:
    """A latency of the file as a distribution in microseconds."""
    match latency:
        case Constant():
            return LatencyProfile.constant(latency.value_ms * _MS)
        case Uniform():
            return LatencyProfile.uniform(latency.low_ms * _MS, latency.high_ms * _MS)
        case LogNormal():
            return LatencyProfile.lognormal(latency.median_ms * _MS, latency.p99_ms * _MS)
        case Exponential():
            return LatencyProfile.exponential(latency.mean_ms * _MS)
        case _ as never:
            assert_never(never)


def scaled(profile: LatencyProfile, eighths: int) -> LatencyProfile:
    """The same distribution with every figure multiplied by ``eighths / 8``: one leg's share of a stated whole."""
    fields = ("value_us", "low_us", "high_us", "median_us", "p99_us", "mean_us", "max_us")
    figures = {name: value * eighths // 8 for name in fields if (value := getattr(profile, name)) is not None}
    return LatencyProfile(kind=profile.kind, **figures)


def site_config(station: Station, lines_at: dict[str, str] | None = None, **more: Any) -> SiteConfig:
    """The station as its controller is configured.

    Args:
        station: the station of the scenario.
        lines_at: for real processes, ``host:port`` of each line's far end by line name.
        more: further fields of `SiteConfig` (backends, key, journal, printer).
    """
    printer = {"columns": 48 if station.printer == "generic-80mm" else 32, **more.pop("printer", {})}
    return SiteConfig.model_validate(
        {
            "station": station.id,
            "name": station.name,
            "taxpayer_id": station.taxpayer_id,
            "lift_policy": station.lift_policy,
            "offline_policy": station.offline_policy,
            "lines": [_line(station, line, (lines_at or {}).get(line.name)) for line in station.lines],
            "printer": printer,
            "gauge": gauge_config(station, (lines_at or {}).get("gauge")),
            **more,
        }
    )


def gauge_config(station: Station, at: str | None = None) -> dict[str, Any] | None:
    """The gauge as the site controller is configured; ``at`` is ``host:port`` of its line for real processes."""
    gauge = station.gauge
    if gauge is None:
        return None
    groups = {tank: min(group) for group in gauge.manifolds for tank in group}
    return {
        "tcp": at,
        "period_us": gauge.poll_s * 1_000_000,
        "security_code": gauge.security_code,
        "tanks": [
            {
                "tank": tank.tank,
                "grade": tank.grade,
                "capacity_ml": tank.capacity_ml,
                "group": groups.get(tank.tank),
                "pumpable_ml": gauge.pumpable_ml,
                "water_limit_um": gauge.water_limit_um,
            }
            for tank in station.tanks
        ],
    }


def _line(station: Station, line: Line, at: str | None) -> dict[str, Any]:
    points = {point.fuelling_point: point for point in station.fuelling_points()}
    return {
        "name": line.name,
        "protocol": line.protocol,
        "framing": "tcp" if line.framing == "tcp" else "rtu",
        **({"ifsf": {"udp": at}} if line.protocol == "ifsf" else {"tcp": at}),
        "baud": line.baud,
        "digits": line.digits,
        "echo": line.echo,
        "period_us": line.poll_period_ms * _MS,
        "fuelling_points": [
            {
                "fuelling_point": place.fuelling_point,
                "address": place.address,
                "nozzles": [
                    {
                        "nozzle": nozzle.nozzle,
                        "logical": logical,
                        "grade": nozzle.grade,
                        "tank": nozzle.tank,
                        "price_fen_per_l": station.prices_fen_per_l[nozzle.grade],
                    }
                    for logical, nozzle in enumerate(points[place.fuelling_point].nozzles, start=1)
                ],
            }
            for place in line.points
        ],
    }
