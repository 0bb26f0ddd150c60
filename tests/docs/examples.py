"""Reads the examples out of the pages: fenced blocks, each with the directives of the HTML comment before it.

Directives (``<!-- example: … -->``, several separated by ``;``):

- ``slow``: only with ``-m slow``;
- ``ci``: `.ci/run` runs this one (running it inside the tests would never end);
- ``exit N``: the last command of the block ends with this code instead of 0;
- ``file NAME``: the block is saved under this name in the page's folder, for a later command;
- ``part``: YAML that is a part of a scenario file; it is put into the scenario ``smoke`` and checked;
- ``checkout``: runs in a copy of the checkout;
- ``background``: goes on running while the rest of the page runs, then ends by Ctrl-C with code 0;
- ``port N``: stands for a free port wherever it occurs on the page.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ROOT", "Block", "Command", "blocks", "commands", "looks_like", "pages"]

ROOT = Path(__file__).resolve().parents[2]
_FENCE = re.compile(r"^```(\w*)\s*$")
_DIRECTIVES = re.compile(r"^<!-- example: (.+?) -->$")
_KNOWN = re.compile(r"slow|ci|exit \d+|file \S+|part|checkout|background|port \d+")


@dataclass(frozen=True)
class Block:
    """One fenced block of a page. ``line`` counts from 1 and is that of the opening fence."""

    page: Path
    line: int
    language: str
    text: str
    directives: tuple[str, ...]

    @property
    def place(self) -> str:
        return f"{self.page.name}:{self.line}"

    def has(self, name: str) -> bool:
        return name in self.directives

    def value(self, name: str) -> str | None:
        """The word after a directive, or None without it."""
        return next(iter(self.values(name)), None)

    def values(self, name: str) -> list[str]:
        """The words after a directive that may stand several times."""
        return [d.split(" ", 1)[1] for d in self.directives if d.startswith(name + " ")]


@dataclass(frozen=True)
class Command:
    """A command line of a console block and the output that the page shows for it ('' shows nothing)."""

    text: str
    output: str


def pages() -> list[Path]:
    """README and every page of docs/."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path) -> Iterator[Block]:
    """All fenced blocks of a page, in order.

    Raises:
        ValueError: an unknown directive, or a fence that never closes.
    """
    directives: tuple[str, ...] = ()
    opened: tuple[int, str, tuple[str, ...]] | None = None
    text: list[str] = []
    for number, line in enumerate(page.read_text("utf-8").splitlines(), 1):
        if opened is not None:
            if line.strip() == "```":
                yield Block(page, opened[0], opened[1], "".join(f"{each}\n" for each in text), opened[2])
                opened, directives, text = None, (), []
            else:
                text.append(line)
        elif found := _FENCE.match(line):
            opened = (number, found[1], directives)
        elif found := _DIRECTIVES.match(line):
            directives = (*directives, *(part.strip() for part in found[1].split(";")))
            for directive in directives:
                if not _KNOWN.fullmatch(directive):
                    raise ValueError(f"{page.name}:{number}: unknown directive {directive!r}")
        elif line.strip():
            directives = ()
    if opened is not None:
        raise ValueError(f"{page.name}:{opened[0]}: this block never closes")


def commands(block: Block) -> list[Command]:
    """The commands of a console block: lines that begin with ``$``, continued by ``>``; the rest is output."""
    found: list[list[str]] = []
    outputs: list[list[str]] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            found.append([line[2:]])
            outputs.append([])
        elif line.startswith("> ") and found and not outputs[-1]:
            found[-1].append(line[2:])
        elif found:
            outputs[-1].append(line)
        else:
            raise ValueError(f"{block.place}: a console block begins with a command ($ …)")
    return [
        Command("\n".join(lines), "\n".join(output).strip())
        for lines, output in zip(found, outputs, strict=True)
    ]


def looks_like(shown: str, real: str) -> bool:
    """Whether output is what the page shows; ``...`` stands for anything, runs of white space are one space."""
    pieces = [re.escape(" ".join(piece.split())) for piece in shown.split("...")]
    return re.fullmatch(r".*?".join(pieces), " ".join(real.split()), re.DOTALL) is not None
