from __future__ import annotations

import re
from pathlib import Path

import pytest

from scenarios.loader import LIBRARY, ScenarioError, library_names, load, load_file, parse
from scenarios.model import Scenario

SMOKE = (LIBRARY / "smoke.yaml").read_text(encoding="utf-8")


def broken(old: str, new: str, *, text: str = SMOKE, count: int = 1) -> str:
    assert old in text, f"the smoke scenario no longer has {old!r}"
    with pytest.raises(ScenarioError) as caught:
        parse(text.replace(old, new, count), "my.yaml")
    return str(caught.value)


def line_of(fragment: str, text: str = SMOKE) -> int:
    return text[: text.index(fragment)].count("\n") + 1


def test_the_shipped_scenarios_load() -> None:
    assert library_names() == ["bad-hour", "bad-week", "iron-day", "kunming-peak", "smoke"]
    peak = load("kunming-peak").scenario
    assert len(peak.station.dispensers) == 8
    assert len(list(peak.station.fuelling_points())) == 16
    assert len(list(peak.station.nozzles())) == 32
    assert (peak.demand.arrivals_per_hour, peak.demand.adoption, peak.station.cashiers) == (240, 0.85, 2)
    smoke = load("smoke").scenario
    assert len(list(smoke.station.nozzles())) == 2
    assert smoke.demand.max_cars == 20


@pytest.mark.parametrize("name", library_names())
def test_a_scenario_as_it_is_dumped_for_other_processes_reads_back(name: str) -> None:
    loaded = load(name).scenario
    assert Scenario.model_validate_json(loaded.model_dump_json()) == loaded


def test_epoch_is_local_time_in_the_station_s_zone() -> None:
    assert load("smoke").scenario.station.epoch_us == 1_772_762_400_000_000  # 2026-03-06T02:00:00Z


@pytest.mark.parametrize("name", library_names())
def test_every_number_in_a_shipped_scenario_tells_its_kind(name: str) -> None:
    """A number is measured, derived or assumed; its own line says so, or the line of a key above it."""
    identifiers = re.compile(r"\b(tank|nozzle|fuelling_point|address|id|start_local|printer)\b\W+[\"\w]")
    above: list[tuple[int, bool]] = []
    for number, line in enumerate((LIBRARY / f"{name}.yaml").read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        indent = len(line) - len(line.lstrip())
        while above and above[-1][0] >= indent:
            above.pop()
        content, _, comment = line.partition("  #")
        told = bool(re.search(r"\b(measured|derived|assumed)\b", comment)) or any(kind for _, kind in above)
        above.append((indent, told))
        value = identifiers.sub(
            "", content.split(":", 1)[-1] if not content.lstrip().startswith("- {") else content
        )
        if re.search(r"(?<![\w\"-])\d", value) and not told and indent > 0 and ">-" not in content:
            in_prose = name and number < line_of(
                "station:", (LIBRARY / f"{name}.yaml").read_text(encoding="utf-8")
            )
            assert in_prose or identifiers.search(content), (
                f"{name}.yaml:{number}: {line.strip()} has no kind"
            )


def test_unknown_scenario_suggests_near_names() -> None:
    with pytest.raises(ScenarioError, match=r"no scenario called 'kunming-peek'; did you mean kunming-peak"):
        load("kunming-peek")
    with pytest.raises(ScenarioError, match="there are: bad-hour, bad-week, iron-day, kunming-peak, smoke"):
        load("zzz")


def test_a_missing_file_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"none\.yaml: cannot be read: No such file"):
        load(str(tmp_path / "none.yaml"))
    with pytest.raises(ScenarioError, match="cannot be read"):
        load_file(tmp_path)


def test_broken_yaml_names_the_line() -> None:
    message = broken("cashiers: 1", "cashiers: [1")
    assert re.match(r"my\.yaml:\d+: broken YAML: ", message)
    assert "\n" not in message


def test_duplicate_key_is_broken_yaml() -> None:
    message = broken("  cashiers: 1", "  cashiers: 1\n  cashiers: 2")
    assert "broken YAML" in message
    assert "duplicate key" in message


@pytest.mark.parametrize("text", ["", "# nothing\n", "- a\n", "just text\n"])
def test_files_that_are_no_mapping(text: str) -> None:
    with pytest.raises(ScenarioError, match=r"empty|a scenario is a mapping"):
        parse(text, "my.yaml")


def test_text_that_is_not_utf8_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "gbk.yaml"
    path.write_bytes(b"name: x\ndescription: " + "加油".encode("gb18030"))
    with pytest.raises(ScenarioError, match=r"gbk\.yaml:2: not UTF-8"):
        load_file(path)


def test_unknown_field_with_line_and_suggestion() -> None:
    message = broken("  cashiers: 1", "  cashier: 1")
    assert (
        f"my.yaml:{line_of('  cashiers: 1')}: station.cashier: unknown field; did you mean 'cashiers'?"
        in message
    )
    assert "station: 'cashiers' is missing" in message


def test_nozzle_without_a_tank() -> None:
    message = broken('{nozzle: 2, grade: "95", tank: 2}', '{nozzle: 2, grade: "95", tank: 7}')
    assert (
        message
        == f"my.yaml:{line_of('{nozzle: 2')}: station.dispensers[0].fuelling_points[1].nozzles[0].tank: "
        "nozzle 2 draws from tank 7, but there is no such tank"
    )


def test_tank_of_another_grade() -> None:
    message = broken('{nozzle: 2, grade: "95", tank: 2}', '{nozzle: 2, grade: "95", tank: 1}')
    assert "nozzle 2 sells grade 95, but tank 1 holds 92" in message


def test_duplicate_nozzle() -> None:
    assert "nozzle 1 is there twice" in broken('{nozzle: 2, grade: "95"', '{nozzle: 1, grade: "95"')


def test_two_fuelling_points_on_one_address() -> None:
    message = broken("address: 81", "address: 80")
    assert "fuelling points 1 and 2 share address 80 on line 'pumps'" in message
    assert message.startswith(f"my.yaml:{line_of('address: 81')}: station.lines[0].points[1].address: ")


def test_dart_address_out_of_range() -> None:
    assert "DART address 12 of fuelling point 2 is not in 80..111" in broken("address: 81", "address: 12")


def test_fuelling_point_on_no_line() -> None:
    message = broken("        - {fuelling_point: 2, address: 81}\n", "")
    assert "fuelling point 2 hangs on no line" in message


def test_grade_without_a_price() -> None:
    assert "grade 95 is sold, but prices_fen_per_l has no price" in broken('    "95": 812\n', "")


def test_several_problems_are_told_at_once() -> None:
    text = SMOKE.replace('    "95": 812\n', "").replace(
        '{nozzle: 2, grade: "95", tank: 2}', '{nozzle: 2, grade: "95", tank: 9}'
    )
    with pytest.raises(ScenarioError) as caught:
        parse(text, "my.yaml")
    assert len(str(caught.value).splitlines()) == 2


def test_empty_demand() -> None:
    assert "all weights are 0" in broken('{"92": 0.65, "95": 0.35}', '{"92": 0}')
    assert "every hour of hourly_shape is 0" in broken(
        "[1, 1",
        "[0, 0",
        text=SMOKE.replace(
            "1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1",
            "1, 1, " + ", ".join("0" * 22),
        ),
    )
    assert "demand.arrivals_per_hour" in broken("arrivals_per_hour: 60", "arrivals_per_hour: 0")


def test_grade_nobody_sells() -> None:
    assert "asks for grade diesel, but no nozzle sells it" in broken(
        '"95": 0.35}', '"95": 0.3, diesel: 0.05}'
    )


def test_unknown_check_suggests() -> None:
    message = broken("check: conservation.litres", "check: conservation.liters")
    assert "no such check: 'conservation.liters'; did you mean 'conservation.litres'" in message


def test_unknown_limit_lists_the_known() -> None:
    assert "has no limit 'settle_s' (it has: settle_us)" in broken("{settle_us:", "{settle_s:")


def test_wrong_type_names_the_value() -> None:
    message = broken("cashiers: 1", "cashiers: many")
    assert f"my.yaml:{line_of('cashiers: 1')}: station.cashiers: " in message
    assert "'many'" in message


def test_unknown_latency_kind() -> None:
    message = broken("gateway: {kind: lognormal", "gateway: {kind: gamma")
    assert f"my.yaml:{line_of('gateway: {kind')}: services.gateway: " in message


def test_fault_on_a_line_that_is_not_there() -> None:
    bad = (LIBRARY / "bad-hour.yaml").read_text(encoding="utf-8")
    assert "names line 'island-9', which the station does not have; did you mean" in broken(
        "line: island-1,", "line: island-9,", text=bad
    )
    assert "kills backend 'c'" in broken("instance: a,", "instance: c,", text=bad)


def test_an_alias_that_contains_itself_is_refused() -> None:
    with pytest.raises(ScenarioError):
        parse("name: &a\n  x: *a\n", "my.yaml")


def test_the_hash_is_that_of_the_file() -> None:
    assert parse(SMOKE, "a").sha256 == load("smoke").sha256
    assert parse(SMOKE + "# more\n", "a").sha256 != load("smoke").sha256
