"""Modbus maps that are not ours, each with its unknowns as parameters: a CNG dispenser, two Coriolis meters."""

from __future__ import annotations

from .cng import CNG_FIELDS, CNG_UNKNOWN, EndOfSale, OperationFlag, cng_reads, cng_write, decode_cng
from .coriolis import (
    ENDRESS_HAUSER,
    MICRO_MOTION,
    PROFILES,
    RESET_BELOW_KG,
    SCAN_SLOTS,
    CoriolisProfile,
    Quantity,
    decode_float,
    decode_scan,
    scan_setup,
)
from .fields import DIRECT, Field, Kind, MapParameters
from .server import FieldBank, FieldSource, MapServer

__all__ = [
    "CNG_FIELDS",
    "CNG_UNKNOWN",
    "DIRECT",
    "ENDRESS_HAUSER",
    "MICRO_MOTION",
    "PROFILES",
    "RESET_BELOW_KG",
    "SCAN_SLOTS",
    "CoriolisProfile",
    "EndOfSale",
    "Field",
    "FieldBank",
    "FieldSource",
    "Kind",
    "MapParameters",
    "MapServer",
    "OperationFlag",
    "Quantity",
    "cng_reads",
    "cng_write",
    "decode_cng",
    "decode_float",
    "decode_scan",
    "scan_setup",
]
