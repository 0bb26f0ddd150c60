from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from scenarios.evidence import RUN_SCHEMA, run_schema
from scenarios.loader import LIBRARY, library_names
from scenarios.schema import SCENARIO_SCHEMA, render, scenario_schema

RENEW = "run `python -m scenarios.schema` and commit the result"


def test_the_published_schemas_are_current() -> None:
    assert SCENARIO_SCHEMA.read_text(encoding="utf-8") == render(scenario_schema()), RENEW
    assert RUN_SCHEMA.read_text(encoding="utf-8") == render(run_schema()), RENEW


def test_the_schemas_are_valid_json_schemas() -> None:
    for path in (SCENARIO_SCHEMA, RUN_SCHEMA):
        jsonschema.Draft202012Validator.check_schema(json.loads(path.read_text(encoding="utf-8")))


def schemas_in(node: Any) -> Iterator[dict[str, Any]]:
    """A schema and the schemas within it, by the words of the dialect that hold some."""
    if not isinstance(node, dict):
        return
    yield node
    for word in ("properties", "patternProperties", "$defs"):
        for part in node.get(word, {}).values():
            yield from schemas_in(part)
    for word in ("items", "contains", "additionalProperties", "propertyNames", "not", "if", "then", "else"):
        yield from schemas_in(node.get(word))
    for word in ("oneOf", "anyOf", "allOf", "prefixItems"):
        for part in node.get(word, []):
            yield from schemas_in(part)


@pytest.mark.parametrize("path", [SCENARIO_SCHEMA, RUN_SCHEMA])
def test_the_schemas_have_no_word_that_the_dialect_has_not(path: Path) -> None:
    """Validators that are strict refuse a schema with a word of somebody else's, as Ajv does unless it is told not to."""
    dialect = jsonschema.Draft202012Validator.META_SCHEMA
    registry = jsonschema.validators.SPECIFICATIONS.resolver(dialect["$id"])
    words = set(dialect["properties"])
    for vocabulary in dialect["allOf"]:
        words |= registry.lookup(vocabulary["$ref"]).contents["properties"].keys()
    found = {word for schema in schemas_in(json.loads(path.read_text(encoding="utf-8"))) for word in schema}
    assert {"$ref", "pattern"} < found
    assert found - words == set()


@pytest.mark.parametrize("name", library_names())
def test_the_shipped_scenarios_pass_the_published_schema(name: str) -> None:
    tree = YAML(typ="safe").load(LIBRARY / f"{name}.yaml")
    tree["station"]["start_local"] = tree["station"]["start_local"].isoformat()
    validator = jsonschema.Draft202012Validator(json.loads(SCENARIO_SCHEMA.read_text(encoding="utf-8")))
    assert [error.message for error in validator.iter_errors(tree)] == []
    tree["station"]["cashier"] = 1
    assert not validator.is_valid(tree)
