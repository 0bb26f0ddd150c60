from __future__ import annotations

import json

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


@pytest.mark.parametrize("name", library_names())
def test_the_shipped_scenarios_pass_the_published_schema(name: str) -> None:
    tree = YAML(typ="safe").load(LIBRARY / f"{name}.yaml")
    tree["station"]["start_local"] = tree["station"]["start_local"].isoformat()
    validator = jsonschema.Draft202012Validator(json.loads(SCENARIO_SCHEMA.read_text(encoding="utf-8")))
    assert [error.message for error in validator.iter_errors(tree)] == []
    tree["station"]["cashier"] = 1
    assert not validator.is_valid(tree)
