#!/usr/bin/env python3
"""Makes the pictures of the README from a real run: ``docs/make_pictures.py [kunming-peak [MORE OPTIONS OF forecourt run]]``.

The terminal picture shows the command's own output (an SVG, drawn by rich); the other one is a screenshot of the run's
``report.html`` (needs chromium).
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

IMAGES = Path(__file__).with_name("images")
COLUMNS = 132
# rich's own format loads a web font; a picture in a repository must not.
FORMAT = """<svg viewBox="0 0 {terminal_width} {terminal_height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: "DejaVu Sans Mono", "Noto Sans Mono CJK SC", Menlo, Consolas, monospace;
  font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width; }}
{styles}
</style>
<defs>{lines}</defs>
<rect fill="#1b1b1b" width="{terminal_width}" height="{terminal_height}" rx="8"/>
<g transform="translate(16, 16) scale(0.975)">{backgrounds}<g class="{unique_id}-matrix">{matrix}</g></g>
</svg>
"""


def run(arguments: list[str], folder: Path) -> str:
    """Run the command as on a terminal; its results in colours."""
    command = ["forecourt", "run", *arguments, "--out", str(folder)]
    environment = {**os.environ, "COLUMNS": str(COLUMNS), "FORCE_COLOR": "1"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603
    if not (folder / "report.html").is_file():
        raise SystemExit(done.returncode or 1)
    shown = f"$ forecourt run {' '.join(arguments)}\n{done.stdout}"
    return shown.replace(str(folder), f"evidence/{arguments[0]}-1-1")


def draw(shown: str) -> None:
    """The terminal picture."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    console.print(Text.from_ansi(shown), no_wrap=True, crop=True)
    svg = console.export_svg(title="", theme=MONOKAI, code_format=FORMAT, unique_id="run")
    (IMAGES / "terminal.svg").write_text(svg, encoding="utf-8")


def photograph(report: Path) -> None:
    """The screenshot of the report."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("chromium is not installed: the report was not photographed")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1200,1500"]
    target = f"--screenshot={IMAGES / 'report.png'}"
    subprocess.run([chromium, *options, target, report.resolve().as_uri()], check=True, capture_output=True)  # noqa: S603


def main() -> None:
    """Run, draw, photograph."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        evidence = Path(folder) / "run"
        draw(run(sys.argv[1:] or ["kunming-peak"], evidence))
        photograph(evidence / "report.html")


if __name__ == "__main__":
    main()
