"""The requirement catalogue: what a forecourt system must do, as data, one YAML file an area.

Slugs (``fd-link.bad-checksum-is-discarded``) are the identity of a requirement. They never change and are never
reused; a requirement that is withdrawn stays, with ``withdrawn`` giving the reason.
"""

from __future__ import annotations

import difflib
import re
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

__all__ = ["Area", "Catalogue", "CatalogueError", "Requirement", "SourceKind", "load_catalogue"]

SLUG = re.compile(r"[a-z]+(?:-[a-z]+)*\.[a-z0-9]+(?:-[a-z0-9]+)*")

SourceKind = Literal["read", "standard-unread", "field", "decided"]
"""``read``: a public source was opened and says so. ``standard-unread``: the direction is common knowledge of a
standard whose clause was not opened; never printed as if quoted. ``field``: seen in fielded public code or change logs.
``decided``: this project's decision."""

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=10, max_length=600)]


class CatalogueError(Exception):
    """A catalogue file is broken; the message names file and requirement."""


class Requirement(BaseModel):
    """One requirement.

    Attributes:
        slug: its identity, ``area.short-name``.
        keyword: MUST, SHOULD or MAY; a MUST that fails is FAIL, a SHOULD that fails is WARN.
        text: the requirement in this project's words.
        subjects: who is under test: ``pump`` (driver or dispenser), ``controller``, ``backend``, ``printer``,
            ``gateway``, ``harness``.
        source_kind: how well it is founded, see `SourceKind`.
        sources: short names of the sources.
        stimulus: what a case does.
        observable: what decides.
        withdrawn: why it no longer applies, or None.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    slug: str
    keyword: Literal["MUST", "SHOULD", "MAY"]
    text: Text
    subjects: tuple[Literal["pump", "controller", "backend", "printer", "gateway", "harness"], ...] = Field(
        min_length=1
    )
    source_kind: SourceKind
    sources: tuple[str, ...] = ()
    stimulus: str
    observable: str
    withdrawn: str | None = None


class Area(BaseModel):
    """The requirements of one area, in the order of its file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str
    requirements: tuple[Requirement, ...] = Field(min_length=1)


class Catalogue:
    """All areas; look a requirement up by slug."""

    def __init__(self, areas: tuple[Area, ...]) -> None:
        self.areas = areas
        self._by_slug = {item.slug: item for area in areas for item in area.requirements}

    def __len__(self) -> int:
        return len(self._by_slug)

    def __contains__(self, slug: object) -> bool:
        return slug in self._by_slug

    def __getitem__(self, slug: str) -> Requirement:
        """The requirement of a slug.

        Raises:
            KeyError: no such slug; the message names near ones.
        """
        try:
            return self._by_slug[slug]
        except KeyError:
            near = difflib.get_close_matches(slug, self._by_slug, n=3)
            hint = f"; did you mean {', '.join(near)}?" if near else ""
            raise KeyError(f"no requirement {slug!r}{hint}") from None

    @property
    def slugs(self) -> tuple[str, ...]:
        """All slugs, in catalogue order."""
        return tuple(self._by_slug)


def _load_area(file: Traversable) -> Area:
    try:
        raw = YAML(typ="safe").load(file.read_text("utf-8"))
    except YAMLError as error:
        raise CatalogueError(f"{file.name}: not YAML: {error}") from error
    if not isinstance(raw, dict) or not isinstance(raw.get("requirements"), dict):
        raise CatalogueError(
            f"{file.name}: expected the keys area, title and requirements (a mapping of slugs)"
        )
    name = raw.get("area")
    if f"{name}.yaml" != file.name:
        raise CatalogueError(f"{file.name}: area is {name!r}; file and area carry one name")
    requirements = []
    for slug, fields in raw["requirements"].items():
        if not isinstance(slug, str) or not SLUG.fullmatch(slug) or not slug.startswith(f"{name}."):
            raise CatalogueError(f"{file.name}: slug {slug!r} is not of the form {name}.lower-case-words")
        try:
            requirements.append(Requirement(slug=slug, **fields))
        except (ValidationError, TypeError) as error:
            raise CatalogueError(f"{file.name}: {slug}: {error}") from error
    return Area(name=str(name), title=str(raw.get("title", "")), requirements=tuple(requirements))


@cache
def load_catalogue() -> Catalogue:
    """Load and validate the catalogue that ships with this package.

    Raises:
        CatalogueError: a file is broken, or a slug occurs twice.
    """
    folder = files("conformance") / "requirements"
    areas = tuple(
        _load_area(file)
        for file in sorted(folder.iterdir(), key=lambda f: f.name)
        if file.name.endswith(".yaml")
    )
    if not areas:
        raise CatalogueError("the catalogue is empty: no conformance/requirements/*.yaml")
    seen: set[str] = set()
    for area in areas:
        for item in area.requirements:
            if item.slug in seen:
                raise CatalogueError(f"{area.name}.yaml: slug {item.slug} occurs twice")
            seen.add(item.slug)
    return Catalogue(areas)
