"""Images into bands of rows: raster (GS v 0), columns (ESC *), downloaded (GS *), stored (FS q), graphics (GS ( L, GS 8 L)."""

from __future__ import annotations

from typing import Final, NamedTuple

from sim.printer.paper import Alignment, RasterLine

__all__ = ["GraphicsStore", "Image", "column_image", "nv_images", "raster_bands", "stored_image"]

_BAND_ROWS: Final = 24
"""Rows printed between two looks at the paper sensor."""

_MAX_STORED_BYTES: Final = 384 * 1024
"""Image memory of a printer; what does not fit is refused."""


class Image(NamedTuple):
    """Packed dots, most significant bit left, and how they are magnified."""

    width_bytes: int
    height: int
    rows: bytes
    scale_x: int = 1
    scale_y: int = 1


def raster_bands(
    image: Image, align: Alignment, width_dots: int, left_dots: int = 0, area_dots: int = 0
) -> list[RasterLine]:
    """Cut an image into bands. What is wider than ``width_dots`` is cut off at the right, as a print head does."""
    width_bytes, height, data, scale_x, scale_y = image
    if not width_bytes or not height:
        return []
    keep = min(width_bytes, -(-width_dots // (8 * scale_x)))
    bands = []
    for top in range(0, height, _BAND_ROWS):
        rows = tuple(
            data[row * width_bytes : row * width_bytes + keep].ljust(keep, b"\0")
            for row in range(top, min(top + _BAND_ROWS, height))
        )
        bands.append(
            RasterLine(rows, scale_x, scale_y, align, len(rows) * scale_y, top == 0, left_dots, area_dots)
        )
    return bands


def column_image(mode: int, data: bytes) -> Image | None:
    """Turn ESC * columns (most significant bit on top) into rows. Eight-dot columns are as high as 24 dots."""
    depth = {0: 1, 1: 1, 32: 3, 33: 3}.get(mode)
    if depth is None or not data:
        return None
    width_bytes, height, rows = _from_columns(data, len(data) // depth, depth)
    return Image(width_bytes, height, rows, 2 if mode in (0, 32) else 1, 3 if depth == 1 else 1)


def stored_image(x: int, y: int, data: bytes) -> Image | None:
    """GS * and each image of FS q: ``x`` times 8 columns of ``y`` bytes."""
    if not x or not y or len(data) < x * 8 * y:
        return None
    return Image(*_from_columns(data, x * 8, y))


def nv_images(count: int, data: bytes) -> list[Image | None]:
    """The images of FS q, in order; None for one without dots."""
    found: list[Image | None] = []
    at = 0
    for _ in range(count):
        x, y = data[at] | data[at + 1] << 8, data[at + 2] | data[at + 3] << 8
        at += 4
        found.append(stored_image(x, y, data[at : at + x * y * 8]))
        at += x * y * 8
    return found


def _from_columns(data: bytes, columns: int, depth: int) -> tuple[int, int, bytes]:
    width_bytes = -(-columns // 8)
    rows = bytearray(width_bytes * depth * 8)
    for x in range(columns):
        mask, place = 0x80 >> x % 8, x // 8
        for byte in data[x * depth : (x + 1) * depth]:
            if byte:
                for y in range(8):
                    if byte >> (7 - y) & 1:
                        rows[place + y * width_bytes] |= mask
            place += 8 * width_bytes
    return width_bytes, depth * 8, bytes(rows)


class GraphicsStore:
    """GS ( L and GS 8 L: one image in the print buffer, downloaded ones and ones that survive power-off, by key."""

    def __init__(self) -> None:
        self._buffered: Image | None = None
        self._downloaded: dict[bytes, Image] = {}
        self._kept: dict[bytes, Image] = {}

    def reset(self) -> None:
        """ESC @ and power-on: what is not in non-volatile memory is gone."""
        self._buffered = None
        self._downloaded.clear()

    def execute(self, data: bytes) -> tuple[Image | None, str]:
        """Execute one graphics command; returns an image to print or None, and a surprise or an empty text."""
        if len(data) < 2:
            return None, "GS ( L without a function"
        function, body = data[1], data[2:]
        if function in (2, 50):
            return self._buffered, "" if self._buffered else "graphics print without a stored image"
        if function in (112, 113) and len(body) >= 8:
            return None, self._buffer(function, body)
        store = self._kept if function < 80 else self._downloaded
        if function in (65, 81) and body == b"CLR":
            store.clear()
            return None, ""
        if function in (66, 82) and len(body) == 2:
            store.pop(body, None)
            return None, ""
        if function in (67, 68, 83, 84) and len(body) >= 9:
            return None, self._define(store, body, in_columns=function in (68, 84))
        if function in (69, 85) and len(body) == 4:
            found = store.get(body[:2])
            if found is None:
                return None, f"graphics {body[:2]!r} were never defined"
            return found._replace(scale_x=min(2, max(1, body[2])), scale_y=min(2, max(1, body[3]))), ""
        return None, f"graphics function {function} is not drawn"

    def _buffer(self, function: int, body: bytes) -> str:
        tone, scale_x, scale_y = body[:3]
        if tone != 48 or scale_x not in (1, 2) or scale_y not in (1, 2):
            return "graphics in several tones, or magnified by other than 1 and 2, are not drawn"
        width, height = body[4] | body[5] << 8, body[6] | body[7] << 8
        image = _graphics_image(width, height, body[8:], in_columns=function == 113)
        if image is None:
            return _TOO_FEW.format(width, height, len(body) - 8)
        self._buffered = image._replace(scale_x=scale_x, scale_y=scale_y)
        return ""

    def _define(self, store: dict[bytes, Image], body: bytes, *, in_columns: bool) -> str:
        tone, key, colours = body[0], body[1:3], body[3]
        if tone != 48 or colours != 1:
            return "graphics in several tones or colours are not drawn"
        width, height = body[4] | body[5] << 8, body[6] | body[7] << 8
        image = _graphics_image(width, height, body[9:], in_columns=in_columns)
        if image is None:
            return _TOO_FEW.format(width, height, len(body) - 9)
        others = sum(len(held.rows) for name, held in store.items() if name != key)
        if others + len(image.rows) > _MAX_STORED_BYTES:
            return f"graphics {key!r} do not fit the memory of {_MAX_STORED_BYTES} bytes"
        store[key] = image
        return ""


_TOO_FEW: Final = "graphics of {} x {} dots are not in {} bytes; ignored"


def _graphics_image(width: int, height: int, dots: bytes, *, in_columns: bool) -> Image | None:
    width_bytes, depth = -(-width // 8), -(-height // 8)
    if not width or not height or len(dots) < (width * depth if in_columns else width_bytes * height):
        return None
    if not in_columns:
        return Image(width_bytes, height, dots)
    width_bytes, rows_high, rows = _from_columns(dots, width, depth)
    return Image(width_bytes, min(height, rows_high), rows)
