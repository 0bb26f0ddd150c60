"""Reads scenario files. Every error says file, line, field and what is wrong, in words."""

from __future__ import annotations

import difflib
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from scenarios.model import Scenario

__all__ = ["LIBRARY", "LoadedScenario", "ScenarioError", "library_names", "load", "load_file", "parse"]

LIBRARY = Path(__file__).with_name("library")
# Sixteen positions take 10 KB; a file beyond this is not a scenario but an accident.
_MAX_BYTES = 2_000_000
_Location = tuple[int | str, ...]


class ScenarioError(Exception):
    """A scenario cannot be used. The text is meant for the person who wrote the file: one problem a line."""


@dataclass(frozen=True, slots=True)
class LoadedScenario:
    """A checked scenario and where it came from.

    Attributes:
        scenario: the model.
        source: path or name, for messages.
        text: the file as read.
        sha256: hash of the file; with seed and version it reproduces a run.
    """

    scenario: Scenario
    source: str
    text: str
    sha256: str


def library_names() -> list[str]:
    """Names of the scenarios that come with the harness, in alphabetical order."""
    return sorted(path.stem for path in LIBRARY.glob("*.yaml"))


def load(name_or_path: str) -> LoadedScenario:
    """Load a shipped scenario by name, or a file by path (anything with a slash or ``.yaml``).

    Raises:
        ScenarioError: unknown name (with suggestions), unreadable file, broken YAML, or an impossible scenario.
    """
    if "/" in name_or_path or name_or_path.endswith((".yaml", ".yml")):
        return load_file(Path(name_or_path))
    known = library_names()
    if name_or_path not in known:
        near = difflib.get_close_matches(name_or_path, known, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(known)}"
        raise ScenarioError(f"no scenario called {name_or_path!r}; {hint} (a file is given by its path)")
    return load_file(LIBRARY / f"{name_or_path}.yaml")


def load_file(path: Path) -> LoadedScenario:
    """Load a scenario file; see `load`."""
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ScenarioError(f"{path}: cannot be read: {error.strerror or error}") from error
    if len(data) > _MAX_BYTES:
        raise ScenarioError(f"{path}: larger than {_MAX_BYTES:,} bytes, that is no scenario")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ScenarioError(f"{path}:{line}: not UTF-8 text (byte 0x{data[error.start]:02x})") from error
    return parse(text, str(path))


def parse(text: str, source: str) -> LoadedScenario:
    """Check the text of a scenario file.

    Raises:
        ScenarioError: with one ``source:line: field: problem`` a line.
    """
    tree = _read_yaml(text, source)
    try:
        scenario = Scenario.model_validate(_plain(tree))
    except ValidationError as error:
        raise ScenarioError("\n".join(_describe(error, tree, source))) from error
    return LoadedScenario(scenario, source, text, hashlib.sha256(text.encode()).hexdigest())


def _read_yaml(text: str, source: str) -> CommentedMap:
    reader = YAML(typ="rt")
    reader.allow_duplicate_keys = False
    try:
        tree = reader.load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{source}:{mark.line + 1}" if mark is not None else source
        # ruamel's text goes on with advice for programmers; its first line says what is wrong.
        problem = (error.problem or error.context or "broken").strip().splitlines()[0]
        raise ScenarioError(f"{where}: broken YAML: {problem}") from error
    except (YAMLError, ValueError, RecursionError) as error:
        raise ScenarioError(f"{source}: broken YAML: {str(error).strip().splitlines()[0]}") from error
    if tree is None:
        raise ScenarioError(f"{source}: the file is empty")
    if not isinstance(tree, CommentedMap):
        raise ScenarioError(f"{source}:1: a scenario is a mapping with a name, a station and so on")
    return tree


def _plain(node: Any, depth: int = 0) -> Any:
    if depth > 30:
        raise ScenarioError("the file nests deeper than 30 levels, or an alias contains itself")
    if isinstance(node, CommentedMap):
        return {key: _plain(value, depth + 1) for key, value in node.items()}
    if isinstance(node, CommentedSeq):
        return [_plain(value, depth + 1) for value in node]
    return node


def _line(tree: CommentedMap, location: _Location) -> tuple[int, str]:
    """Line (from 1) and readable path of an error, as deep as the file itself goes."""
    node: Any = tree
    line = 1
    path = ""
    for key in location:
        if isinstance(node, CommentedMap) and key in node:
            line = node.lc.key(key)[0] + 1
            path += f".{key}" if path else str(key)
        elif isinstance(node, CommentedSeq) and isinstance(key, int) and key < len(node):
            line = node.lc.item(key)[0] + 1
            path += f"[{key}]"
        else:
            # The tag of a union, or a field that is missing: it has no line of its own.
            continue
        node = node[key]
    return line, path


def _describe(error: ValidationError, tree: CommentedMap, source: str) -> list[str]:
    described = []
    items = error.errors(include_url=False)
    # A list with one broken entry is also reported as too short: the broken entry alone is the news.
    broken = {item["loc"][:depth] for item in items for depth in range(len(item["loc"]))}
    for item in items:
        if item["type"] == "too_short" and item["loc"] in broken:
            continue
        line, path = _line(tree, item["loc"])
        last = str(item["loc"][-1]) if item["loc"] else ""
        field = path or "scenario"
        match item["type"]:
            case "missing":
                problem = f"{last!r} is missing"
            case "extra_forbidden":
                problem = f"unknown field{_nearby(item['loc'], last)}"
            case "value_error":
                problem = item["msg"].removeprefix("Value error, ")
            case "union_tag_not_found":
                problem = f"needs {item.get('ctx', {}).get('discriminator', 'a kind')}"
            case _:
                problem = f"{item['msg'][0].lower()}{item['msg'][1:]}, not {_shown(item['input'])}"
        # One validator may report several problems; a hint stays with its problem.
        parts = re.split(r"; (?!did you mean)", problem)
        described += [(line, f"{source}:{line}: {field}: {part}") for part in parts]
    return [text for _, text in sorted(described, key=lambda pair: pair[0])]


def _nearby(location: _Location, wrong: str) -> str:
    model: Any = Scenario
    for key in location[:-1]:
        fields = getattr(model, "model_fields", None)
        if fields is None or not isinstance(key, str) or key not in fields:
            return ""
        model = fields[key].annotation
    fields = getattr(model, "model_fields", None)
    if not fields:
        return ""
    near = difflib.get_close_matches(wrong, sorted(fields), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else f" (known here: {', '.join(sorted(fields))})"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
