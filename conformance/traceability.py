"""Which test proves which requirement: read from the tests' own marks, written as a page of the docs.

A test names what it proves with ``@pytest.mark.requirement("slug", …)``. The marks are read from the source, so that
the page can be made without running anything.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from conformance.catalogue import Catalogue, load_catalogue

__all__ = ["proving_tests", "traceability_page"]

_MARK = "requirement"


def _marks(node: ast.AST) -> Iterator[tuple[str, int]]:
    """Slugs given to ``pytest.mark.requirement(...)`` calls anywhere below ``node``, with their line."""
    for call in ast.walk(node):
        if (
            isinstance(call, ast.Call)
            and isinstance(call.func, ast.Attribute)
            and call.func.attr == _MARK
            and isinstance(call.func.value, ast.Attribute)
            and call.func.value.attr == "mark"
        ):
            for argument in call.args:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    yield argument.value, call.lineno


def proving_tests(tests: Path) -> dict[str, list[str]]:
    """Map each slug that a mark names to the tests that carry it, as ``path::test`` below ``tests``' parent.

    Raises:
        SyntaxError: a test file does not parse.
    """
    found: dict[str, list[str]] = {}
    for path in sorted(tests.rglob("test_*.py")):
        where = path.relative_to(tests.parent).as_posix()
        text = path.read_text("utf-8")
        if f"mark.{_MARK}" not in text:
            continue  # parsing takes a hundred times as long
        module = ast.parse(text, filename=str(path))
        for statement in module.body:
            if isinstance(statement, ast.Assign):
                for slug, _ in _marks(statement):
                    found.setdefault(slug, []).append(where)
        for node in ast.walk(module):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                for decorator in node.decorator_list:
                    for slug, _ in _marks(decorator):
                        found.setdefault(slug, []).append(f"{where}::{node.name}")
    return found


def traceability_page(tests: Path, catalogue: Catalogue | None = None) -> str:
    """The Markdown page ``docs/requirements.md``.

    Raises:
        KeyError: a test names a slug that the catalogue does not hold.
    """
    catalogue = catalogue if catalogue is not None else load_catalogue()
    proofs = proving_tests(tests)
    for slug in proofs:
        catalogue[slug]
    proved = sum(1 for slug in catalogue.slugs if slug in proofs)
    lines = [
        "# Requirements and the tests that prove them",
        "",
        "Generated from `conformance/requirements/` and the `requirement` marks of the tests by",
        "`python -m conformance`; a test fails when this page is out of date.",
        "",
        f"{len(catalogue)} requirements, {proved} with a proving test, {len(catalogue) - proved} without.",
        "",
        "`source`: *read* (a public source says so), *field* (seen in fielded public code), *standard-unread* (known",
        "direction of a standard whose clause was not opened, never quoted), *decided* (this project's decision).",
    ]
    for area in catalogue.areas:
        done = sum(1 for item in area.requirements if item.slug in proofs)
        lines += ["", f"## {area.title} (`{area.name}`, {done} of {len(area.requirements)})", ""]
        lines += ["| slug | keyword | source | requirement | proved by |", "|---|---|---|---|---|"]
        for item in area.requirements:
            tests_cell = "<br>".join(f"`{test}`" for test in proofs.get(item.slug, [])) or "–"
            text = item.text.replace("|", "\\|").replace("\n", " ")
            lines.append(f"| `{item.slug}` | {item.keyword} | {item.source_kind} | {text} | {tests_cell} |")
    return "\n".join(lines) + "\n"
