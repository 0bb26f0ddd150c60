"""Files that were broken by accident or on purpose: one message with file, line and field, quickly, and never a traceback."""

from __future__ import annotations

import json
import re

import jsonschema
import pytest

from scenarios.loader import LIBRARY, ScenarioError, load_file, parse
from scenarios.schema import SCENARIO_SCHEMA

SMOKE = (LIBRARY / "smoke.yaml").read_text(encoding="utf-8")


def refused(text: str) -> str:
    with pytest.raises(ScenarioError) as caught:
        parse(text, "my.yaml")
    return str(caught.value)


def changed(old: str, new: str) -> str:
    assert old in SMOKE
    return refused(SMOKE.replace(old, new, 1))


def line_of(fragment: str) -> int:
    return SMOKE[: SMOKE.index(fragment)].count("\n") + 1


def test_aliases_that_would_make_billions_of_values_are_refused():
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    bomb += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12))
    assert re.match(
        r"my\.yaml:\d+: a\d+.*: with every alias written out there are more than 100,000 values",
        refused(bomb),
    )


def test_deep_nesting_names_file_line_and_field():
    assert refused("name: x\na: " + "[" * 100 + "]" * 100).startswith(
        "my.yaml:2: a[0][0]: nests deeper than 30"
    )


def test_a_merged_key_that_is_unknown_is_told_at_the_entry():
    message = changed(
        "  tanks:\n",
        '  tanks:\n    - &t {tank: 8, grade: "98", capacity_ml: 10, stock_ml: 0, colour: red}\n    - {<<: *t, tank: 9}\n',
    )
    assert (
        "station.tanks[0].colour: unknown field (known here: capacity_ml, grade, stock_ml, tank)" in message
    )
    assert "station.tanks[1].colour: unknown field" in message


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("max_cars: 20", "max_cars: " + "9" * 5_000, "broken YAML: Exceeds the limit"),
        ("10:00:00", "10:00:99", "broken YAML: second must be in 0..59"),
        ("cashiers: 1", "cashiers: !!int xx", "broken YAML: invalid literal"),
        ("cashiers: 1", 'cashiers: "1"', "station.cashiers: input should be a valid integer, not '1'"),
        ("cashiers: 1", "cashiers: true", "station.cashiers: input should be a valid integer, not True"),
        ("cashiers: 1", "cashiers: !foo 1", "station.cashiers: a value of this kind has no place"),
        ("cashiers: 1", "cashiers: !!binary aGk=", "station.cashiers: a value of this kind has no place"),
        ("cashiers: 1", "92: 1", "station: the key 92 is not text"),
        ("adoption: 0.7", "adoption: .nan", "demand.adoption: "),
        ("settle_us: 900000000", "settle_us: -1", "checks[11].limits.settle_us: "),
        ("settle_us: 900000000", "settle_us: 1" + "0" * 400, "checks[11].limits.settle_us: "),
        ("start_local: 2026-03-06T10:00:00", "start_local: 0001-01-01T00:00:00", "the years 2000 to 2099"),
        ("start_local: 2026-03-06T10:00:00", "start_local: 2026-03-06", "station.start_local: "),
        ("name: 昆明试验加油站", 'name: "a\\nb"', "station.name: string should match"),
        ("name: 昆明试验加油站", 'name: "\\ud800"', "station.name: half of a surrogate pair"),
        (
            '"92": 760',
            '"92": 10000',
            "station.prices_fen_per_l.92: input should be less than or equal to 9999",
        ),
        ("poll_period_ms: 250", "poll_period_ms: 50", "station.lines[0]: line pumps: an exchange can take"),
    ],
    ids=lambda value: value[:24] if isinstance(value, str) else None,
)
def test_a_value_that_cannot_be_is_told_with_its_line(old, new, words):
    message = changed(old, new)
    line = line_of("- name: pumps") if "poll_period" in old else line_of(old)
    assert message.startswith(f"my.yaml:{line}: "), message
    assert words in message
    assert "\n" not in message


def test_a_character_that_yaml_forbids_is_told_with_its_line():
    assert changed("  id: KM00", "  id: K\0M").startswith(
        f"my.yaml:{line_of('  id: KM00')}: broken YAML: character U+0000"
    )


def test_problems_between_parts_stand_at_the_part_that_is_to_be_mended():
    assert changed("cashiers: 1", "cashiers: 0").startswith(
        f"my.yaml:{line_of('cashiers: 1')}: station.cashiers: "
    )
    doubled = changed("  - check: conservation.money", "  - check: conservation.litres")
    assert doubled.startswith(f"my.yaml:{line_of('  - check: conservation.money')}: checks[1]: check ")


def test_a_late_fault_without_a_delay_and_a_curve_that_only_warms_up_are_refused():
    fault = (
        "faults:\n  - {target: http, client: phone, host: backend-a.station, kind: late, at_s: 1, for_s: 2}\n"
    )
    assert "faults[0]: a fault of kind 'late' needs delay_ms" in refused(SMOKE + fault)
    curve = "curve: {arrivals_per_hour: [60, 90], duration_s: 600, warm_up_s: 600}\n"
    assert "curve.warm_up_s: warm_up_s (600) leaves nothing" in refused(SMOKE + curve)


def test_a_station_larger_than_its_controller_is_refused():
    points = [
        f"    - {{name: l{n}, protocol: modbus, framing: tcp, points: [{{fuelling_point: {n}, address: 1}}]}}\n"
        for n in range(1, 34)
    ]
    head, tail = SMOKE.split("  lines:\n")
    message = refused(head + "  lines:\n" + "".join(points) + tail[tail.index("  prices_fen_per_l") :])
    assert "station.lines: holds at most 32 entries, not 33" in message


def test_a_large_file_is_refused_unread(tmp_path):
    path = tmp_path / "large.yaml"
    path.write_text(SMOKE + "#" + "x" * 10_000_000, encoding="utf-8")
    with pytest.raises(ScenarioError, match=r"larger than 300,000 bytes"):
        load_file(path)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("station", "cashiers"), "1"),
        (("station", "cashiers"), True),
        (("station", "cashiers"), -1),
        (("station", "id"), "KM" * 7),
        (("station", "name"), "a\nb"),
        (("station", "start_local"), "2026-03-06T10:00:00+08:00"),
        (("station", "start_local"), "2026-03-06"),
        (("station", "start_local"), 1_772_762_400),
        (("station", "prices_fen_per_l", "92"), 10_000),
        (("demand", "adoption"), 1.5),
        (("demand", "adoption"), "0.5"),
        (("demand", "max_cars"), 1.5),
        (("demand", "hourly_shape"), [1] * 23),
        (("demand", "fills", "mean_ml"), 32_000.5),
        (("checks", 0, "limits"), {"p99_us": -1}),
        (("checks",), []),
        (("description",), "a\x07"),
        (("backend", "instances"), 9),
        (("colour",), "red"),
    ],
    ids=str,
)
def test_the_published_schema_refuses_what_the_loader_refuses(path, value):
    from ruamel.yaml import YAML

    tree = YAML(typ="safe").load(SMOKE)
    tree["station"]["start_local"] = tree["station"]["start_local"].isoformat()
    schema = jsonschema.Draft202012Validator(json.loads(SCENARIO_SCHEMA.read_text(encoding="utf-8")))
    assert schema.is_valid(tree)
    parse(json.dumps(tree), "my.yaml")  # JSON is YAML
    part = tree
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    assert not schema.is_valid(tree)
    refused(json.dumps(tree))


def test_thousands_of_merges_are_refused_before_they_take_minutes():
    merges = "a: &a {b: 1}\n" + "".join(f"k{n}: {{<<: *a}}\n" for n in range(14_000))
    assert refused(merges) == "my.yaml: merges (<<) more than 500 times"


def test_a_backend_is_left_to_say_what_was_sold():
    def killed(*words: str) -> str:
        faults = "".join(f"  - {{target: backend, instance: {word}}}\n" for word in words)
        return SMOKE.replace("backend:\n  instances: 1", "backend:\n  instances: 2", 1) + f"faults:\n{faults}"

    last = "kills the last backend for good: nobody is left to say what was sold; give for_s"
    line = killed().count("\n")
    assert refused(killed("a, at_s: 9", "b, at_s: 9, for_s: 1", "b, at_s: 99")) == (
        f"my.yaml:{line + 3}: faults[2]: faults[2] {last}"
    )
    for survivable in (["a, at_s: 9", "b, at_s: 9, for_s: 1"], ["a, at_s: 9", "a, at_s: 99"]):
        assert parse(killed(*survivable), "my.yaml").scenario.faults
