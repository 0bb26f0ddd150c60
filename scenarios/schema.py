"""The published JSON Schemas: generated from the models, kept in the repository, compared by a test.

``python -m scenarios.schema`` writes them anew.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scenarios.model import Scenario

__all__ = ["SCENARIO_SCHEMA", "render", "scenario_schema", "write_schemas"]

SCENARIO_SCHEMA = Path(__file__).with_name("scenario.schema.json")
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def _plain(node: Any) -> Any:
    """The schema without ``discriminator``: a word of OpenAPI, over which strict validators stumble (Ajv's default).

    It sits beside ``oneOf``, whose branches have each a constant of their own, so nothing is told by it alone.
    """
    if isinstance(node, dict):
        is_schema = "oneOf" in node
        return {
            name: _plain(value) for name, value in node.items() if not (is_schema and name == "discriminator")
        }
    return [_plain(item) for item in node] if isinstance(node, list) else node


def scenario_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a scenario file."""
    body = Scenario.model_json_schema(mode="validation")
    body = _plain(body)
    body["title"] = "Forecourt scenario"
    return {"$schema": _DIALECT, "$id": "urn:forecourt:schema:scenario", **body}


def render(schema: Mapping[str, Any]) -> str:
    """The text of a schema file: stable order, one final newline."""
    return json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def write_schemas() -> list[Path]:
    """Write the published schema files and return their paths."""
    from scenarios.evidence import RUN_SCHEMA, run_schema

    SCENARIO_SCHEMA.write_text(render(scenario_schema()), encoding="utf-8")
    RUN_SCHEMA.write_text(render(run_schema()), encoding="utf-8")
    return [SCENARIO_SCHEMA, RUN_SCHEMA]


if __name__ == "__main__":
    write_schemas()
