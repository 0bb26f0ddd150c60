"""What a mutant is: one known field defect, built into the reference on purpose, and how it is switched on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Mutant", "Switch", "patched"]

Switch = Callable[[], AbstractContextManager[None]]
"""Makes the context in which the defect is there; outside of it the reference is itself again."""

Part = Literal["driver", "site", "dispenser", "gauge", "backend"]


@dataclass(frozen=True, slots=True)
class Mutant:
    """One defect.

    Attributes:
        slug: ``M01`` …, its identity; never reused.
        title: what is wrong, in a few words.
        part: which part of the reference has it.
        field: what real equipment does wrong, one line.
        violates: slugs of the requirements that it breaks.
        switch: switches it on.
        drills: the drills that are expected to show it, by name; others may.
        note: what else a reader of the matrix should know, such as what would have healed a milder form of it.
    """

    slug: str
    title: str
    part: Part
    field: str
    violates: tuple[str, ...]
    switch: Switch
    drills: tuple[str, ...]
    note: str = ""


@contextmanager
def patched(*changes: tuple[Any, str, Any]) -> Iterator[None]:
    """Replace attributes (owner, name, value) for a while. The owner is a class or a module of the reference.

    Raises:
        AttributeError: there is no such attribute: the reference has changed, and the mutant with it.
    """
    missing = object()
    before: list[tuple[Any, str, Any]] = []
    try:
        for owner, name, value in changes:
            getattr(owner, name)
            before.append((owner, name, vars(owner).get(name, missing)))
            setattr(owner, name, value)
        yield
    finally:
        for owner, name, value in reversed(before):
            if value is missing:
                delattr(owner, name)
            else:
                setattr(owner, name, value)
