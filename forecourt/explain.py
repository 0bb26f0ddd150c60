"""Finds what a name explains: a check, a requirement, or an area of requirements."""

from __future__ import annotations

import difflib

from rich.console import Console
from rich.text import Text

from conformance.catalogue import load_catalogue
from forecourt.guard import BadInput
from forecourt.tables import print_area, print_requirement
from scenarios import REGISTRY, explain

__all__ = ["explain_name"]


def explain_name(console: Console, name: str) -> None:
    """Print what the harness knows of ``name``.

    Raises:
        BadInput: nothing has this name; the message suggests near ones.
    """
    if name in REGISTRY:
        console.print(Text(explain(name)), soft_wrap=True)
        return
    catalogue = load_catalogue()
    if name in catalogue:
        print_requirement(console, catalogue[name])
        return
    for area in catalogue.areas:
        if area.name == name:
            print_area(console, area)
            return
    known = [*REGISTRY, *catalogue.slugs, *(area.name for area in catalogue.areas)]
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"; did you mean {' or '.join(near)}?" if near else "; `forecourt explain` lists the checks"
    raise BadInput(f"no check or requirement is called {name!r}{hint}")
