"""Amap's web service (``restapi.amap.com``) to test against: geocoding both ways, coordinate conversion, its odd empty fields."""

from __future__ import annotations

from sim.amap.places import SAMPLE_PLACES, Gazetteer, Place
from sim.amap.server import INFOS, Amap, AmapError, AmapSwitches

__all__ = ["INFOS", "SAMPLE_PLACES", "Amap", "AmapError", "AmapSwitches", "Gazetteer", "Place"]
