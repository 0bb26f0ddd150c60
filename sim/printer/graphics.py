"""Images: raster (GS v 0), columns (ESC *) and the graphics store (GS ( L, GS 8 L), all into bands of rows."""

from __future__ import annotations

from typing import Final

from sim.printer.paper import Alignment, RasterLine

__all__ = ["GraphicsStore", "column_image", "raster_bands"]

_BAND_ROWS: Final = 24
"""Rows printed between two looks at the paper sensor."""

Image = tuple[int, int, bytes, int, int]
"""Bytes in a row, rows, packed dots, horizontal and vertical magnification."""


def raster_bands(
    width_bytes: int,
    height: int,
    data: bytes,
    scale_x: int,
    scale_y: int,
    align: Alignment,
    width_dots: int,
) -> list[RasterLine]:
    """Cut an image into bands. What is wider than the paper is cut off at the right, as a print head does."""
    if not width_bytes or not height:
        return []
    keep = min(width_bytes, -(-width_dots // (8 * scale_x)))
    bands = []
    for top in range(0, height, _BAND_ROWS):
        rows = tuple(
            data[row * width_bytes : row * width_bytes + keep].ljust(keep, b"\0")
            for row in range(top, min(top + _BAND_ROWS, height))
        )
        bands.append(RasterLine(rows, scale_x, scale_y, align, len(rows) * scale_y, first=top == 0))
    return bands


def column_image(mode: int, data: bytes) -> tuple[int, int, bytes, int] | None:
    """Turn ESC * columns (most significant bit on top) into rows: (bytes in a row, rows, packed dots, x scale)."""
    depth = {0: 1, 1: 1, 32: 3, 33: 3}.get(mode)
    if depth is None or not data:
        return None
    columns = len(data) // depth
    width_bytes = -(-columns // 8)
    height = depth * 8
    rows = bytearray(width_bytes * height)
    for x in range(columns):
        for y in range(height):
            if data[x * depth + y // 8] >> (7 - y % 8) & 1:
                rows[y * width_bytes + x // 8] |= 0x80 >> x % 8
    return width_bytes, height, bytes(rows), 2 if mode in (0, 32) else 1


class GraphicsStore:
    """The print buffer of GS ( L: function 112 stores a raster image, function 50 prints it."""

    def __init__(self) -> None:
        self._image: Image | None = None

    def execute(self, data: bytes) -> tuple[Image | None, str]:
        """Execute one graphics command; returns an image to print or None, and a surprise or an empty text."""
        if len(data) < 2:
            return None, "GS ( L without a function"
        function = data[1]
        if function in (2, 50):
            return self._image, "" if self._image else "graphics print without a stored image"
        if function == 112 and len(data) >= 10:
            tone, scale_x, scale_y, _colour = data[2:6]
            width, height = data[6] | data[7] << 8, data[8] | data[9] << 8
            if tone != 48 or scale_x not in (1, 2) or scale_y not in (1, 2):
                return None, "graphics in several tones, or magnified by other than 1 and 2, are not drawn"
            self._image = (-(-width // 8), height, data[10:], scale_x, scale_y)
            return None, ""
        return None, f"graphics function {function} is not drawn"
