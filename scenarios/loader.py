"""Reads scenario files. Every error says file, line, field and what is wrong, in words."""

from __future__ import annotations

import datetime as dt
import difflib
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, get_args

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError
from ruamel.yaml.scalarbool import ScalarBoolean

from protocols.cards import holds_card_number, holds_phone_number
from scenarios.model import Impossible, Scenario

__all__ = ["LIBRARY", "LoadedScenario", "ScenarioError", "library_names", "load", "load_file", "parse"]

LIBRARY = Path(__file__).with_name("library")
# Sixteen positions take 10 KB; a file beyond this is not a scenario but an accident.
_MAX_BYTES = 300_000
# What such a file can hold when each of its values stands there once; aliases can make billions of them.
_MAX_VALUES = 100_000
_MAX_DEPTH = 30
# The reader compares each merge with all before it: ten thousand would take minutes.
_MAX_MERGES = 500
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

    @property
    def name(self) -> str:
        """What a command line calls it: a shipped scenario by its name, any other by its path."""
        path = Path(self.source)
        return path.stem if path.parent == LIBRARY else self.source


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
    _refuse_numbers(text, source)
    tree = _read_yaml(text, source)
    plain = _Plain(source).of(tree, ())
    try:
        # As JSON and strictly: what the published JSON Schema refuses (a number in quotes, "yes" for true) is refused here too.
        scenario = Scenario.model_validate_json(json.dumps(plain), strict=True)
    except ValidationError as error:
        raise ScenarioError("\n".join(_describe(error, tree, source))) from error
    _must_be_buildable(scenario, tree, source)
    return LoadedScenario(scenario, source, text, hashlib.sha256(text.encode()).hexdigest())


def _refuse_numbers(text: str, source: str) -> None:
    """Evidence holds the file as it is, remarks included, and the names in it get into every log."""
    for number, line in enumerate(text.splitlines(), start=1):
        for what, is_in in (("card", holds_card_number), ("phone", holds_phone_number)):
            if is_in(line):
                raise ScenarioError(
                    f"{source}:{number}: holds a {what} number; scenarios go into evidence as they are"
                )


def _must_be_buildable(scenario: Scenario, tree: CommentedMap, source: str) -> None:
    """Refuse a station that its own site controller would refuse: too many fuelling points on a slow line, for one."""
    from reference.site import ConfigError, make_driver
    from scenarios.world.translate import site_config

    try:
        config = site_config(scenario.station)
    except ValueError as error:
        line, path = _line(tree, ("station",))
        raise ScenarioError(f"{source}:{line}: {path}: the site controller refuses it: {error}") from error
    problems = []
    for number, line_config in enumerate(config.lines):
        try:
            make_driver(line_config)
        except ConfigError as error:
            line, path = _line(tree, ("station", "lines", number))
            problems.append(f"{source}:{line}: {path}: {error}")
    if problems:
        raise ScenarioError("\n".join(problems))


def _read_yaml(text: str, source: str) -> CommentedMap:
    if text.count("<<") > _MAX_MERGES:
        raise ScenarioError(f"{source}: merges (<<) more than {_MAX_MERGES} times")
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
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ScenarioError(
            f"{source}:{line}: broken YAML: character U+{error.character:04X} is not allowed"
        ) from error
    except RecursionError as error:
        raise ScenarioError(f"{source}: nests deeper than {_MAX_DEPTH} levels") from error
    except (YAMLError, ValueError) as error:
        line = _unreadable_value(text)
        problem = str(error).strip().splitlines()[0].partition(";")[0]
        raise ScenarioError(f"{source}:{line}: broken YAML: {problem}") from error
    if tree is None:
        raise ScenarioError(f"{source}: the file is empty")
    if not isinstance(tree, CommentedMap):
        raise ScenarioError(f"{source}:1: a scenario is a mapping with a name, a station and so on")
    return tree


def _unreadable_value(text: str) -> int:
    """Line of the first value that cannot be read as what it says it is, such as the 13th month; 1 if there is none."""
    reader = YAML(typ="rt")
    nodes: list[Node] = [reader.compose(text)]
    while nodes:
        node = nodes.pop()
        if isinstance(node, MappingNode):
            nodes += [part for pair in reversed(node.value) for part in reversed(pair)]
        elif isinstance(node, SequenceNode):
            nodes += reversed(node.value)
        elif isinstance(node, ScalarNode):
            try:
                reader.constructor.construct_object(node)
            except (YAMLError, ValueError):
                return int(node.start_mark.line) + 1
    return 1


class _Plain:
    """The file's values as JSON has them, with every alias written out; refuses what JSON cannot say."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._values = 0

    def of(self, node: Any, path: _Location, line: int = 1) -> Any:
        self._values += 1
        if self._values > _MAX_VALUES:
            self._refuse(
                line, path, f"with every alias written out there are more than {_MAX_VALUES:,} values"
            )
        if len(path) > _MAX_DEPTH:
            self._refuse(
                line, path[:3], f"nests deeper than {_MAX_DEPTH} levels, or an alias contains itself"
            )
        if isinstance(node, CommentedMap):
            return {self._key(key, node, path): self.of(value, (*path, key), _line_of(node, key, line))
                    for key, value in node.items()}  # fmt: skip
        if isinstance(node, CommentedSeq):
            return [
                self.of(value, (*path, index), _line_of(node, index, line))
                for index, value in enumerate(node)
            ]
        if isinstance(node, ScalarBoolean):
            return bool(node)
        if isinstance(node, dt.date):
            return node.isoformat()
        if node is None or isinstance(node, bool | int | float):
            return node
        if isinstance(node, str):
            if any("\ud800" <= character <= "\udfff" for character in node):
                self._refuse(line, path, "half of a surrogate pair is no character")
            return str(node)
        return self._refuse(line, path, f"a value of this kind has no place in a scenario: {_shown(node)}")

    def _key(self, key: Any, node: CommentedMap, path: _Location) -> str:
        if not isinstance(key, str):
            line = _line_of(node, key, 1)
            self._refuse(line, path, f'the key {_shown(key)} is not text; write it in quotes, such as "92"')
        return str(key)

    def _refuse(self, line: int, path: _Location, problem: str) -> NoReturn:
        raise ScenarioError(f"{self._source}:{line}: {_written(path) or 'scenario'}: {problem}")


def _line_of(node: Any, key: Any, otherwise: int) -> int:
    """Line (from 1) of a key or an entry; a key that came in by a merge (``<<``) has none of its own."""
    try:
        place = node.lc.key(key) if isinstance(node, CommentedMap) else node.lc.item(key)
    except (KeyError, TypeError, AttributeError, IndexError):
        return otherwise
    return int(place[0]) + 1


def _written(path: _Location) -> str:
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path).removeprefix(".")


def _line(tree: CommentedMap, location: _Location) -> tuple[int, str]:
    """Line (from 1) and readable path of an error, as deep as the file itself goes."""
    node: Any = tree
    line = 1
    path: _Location = ()
    for key in location:
        if isinstance(node, CommentedMap):
            found = key in node
        else:
            found = isinstance(node, CommentedSeq) and isinstance(key, int) and key < len(node)
        if found:
            line = _line_of(node, key, line)
            path = (*path, key)
            node = node[key]
        # Else it is the tag of a union, or a field that is missing: it has no line of its own.
    return line, _written(path)


def _describe(error: ValidationError, tree: CommentedMap, source: str) -> list[str]:
    described = []
    items = error.errors(include_url=False)
    # A list with one broken entry is also reported as too short: the broken entry alone is the news.
    broken = {item["loc"][:depth] for item in items for depth in range(len(item["loc"]))}
    for item in items:
        if item["type"] == "too_short" and item["loc"] in broken:
            continue
        cause = item.get("ctx", {}).get("error")
        if isinstance(cause, Impossible):
            places = [((*item["loc"], *place), text) for place, text in cause.problems]
        else:
            places = [(item["loc"], _problem(item))]
        for place, problem in places:
            line, path = _line(tree, place)
            described.append((line, f"{source}:{line}: {path or 'scenario'}: {problem}"))
    return [text for _, text in sorted(described, key=lambda pair: pair[0])]


def _problem(item: Any) -> str:
    """One of pydantic's findings in the words of someone who writes YAML."""
    last = str(item["loc"][-1]) if item["loc"] else ""
    context = item.get("ctx", {})
    match item["type"]:
        case "missing":
            return f"{last!r} is missing"
        case "extra_forbidden":
            return f"unknown field{_nearby(item['loc'], last)}"
        case "value_error":
            return str(item["msg"]).removeprefix("Value error, ")
        case "union_tag_not_found":
            return f"needs {context.get('discriminator', 'a kind')}"
        case "union_tag_invalid":
            wanted = str(context.get("discriminator", "kind")).strip("'")
            return f"{wanted} should be {context.get('expected_tags')}, not {context.get('tag')!r}"
        case "too_short":
            return f"needs at least {context.get('min_length')} entries, not {context.get('actual_length')}"
        case "too_long":
            return f"holds at most {context.get('max_length')} entries, not {context.get('actual_length')}"
        case "model_type" | "model_attributes_type" | "dict_type":
            return f"should be a mapping, not {_shown(item['input'])}"
        case "tuple_type" | "list_type":
            return f"should be a list, not {_shown(item['input'])}"
        case _:
            return f"{item['msg'][0].lower()}{item['msg'][1:]}, not {_shown(item['input'])}"


def _nearby(location: _Location, wrong: str) -> str:
    model: Any = Scenario
    for key in location[:-1]:
        if isinstance(key, int):
            model = next(iter(get_args(model)), None)  # the entries of a list are all of one kind
            continue
        fields = getattr(model, "model_fields", None)
        if fields is None or key not in fields:
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
