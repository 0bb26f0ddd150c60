"""Canaries in what a person writes into a scenario, and in the texts that devices send."""

from __future__ import annotations

import copy
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from ruamel.yaml import YAML

from scenarios.leaks.plant import Basket, Planted
from scenarios.loader import LoadedScenario, ScenarioError, parse

if TYPE_CHECKING:
    from scenarios.world.virtual import VirtualWorld

__all__ = ["PLANTED_WIRE", "plant_scenario", "plant_texts"]


PLANTED_WIRE: Final = "gauge"
"""What a device sends is captured byte for byte, so the wire that carried the canaries holds them by right."""


def plant_scenario(loaded: LoadedScenario, basket: Basket) -> Planted:
    """Plant through each text of a scenario file, and in a remark: evidence holds the file as it was read.

    A file that is taken is no leak yet, but its text would go into the evidence: it counts as failed.
    """
    planted = Planted("fields of the scenario")
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    plain = yaml.load(loaded.text)
    texts = []
    for steps in _texts(plain):
        planted.inputs += 1
        for kind in basket.kinds:
            changed = copy.deepcopy(plain)
            place: Any = changed
            for step in steps[:-1]:
                place = place[step]
            place[steps[-1]] = f"{place[steps[-1]]} {basket.next(kind).digits}"
            written = io.StringIO()
            yaml.dump(changed, written)
            texts.append((".".join(map(str, steps)), written.getvalue()))
    planted.inputs += 1
    texts += [("a remark", f"# {basket.next(kind).digits}\n{loaded.text}") for kind in basket.kinds]
    for name, text in texts:
        try:
            parse(text, "planted.yaml")
        except ScenarioError:
            planted.refused += 1
        else:
            planted.taken += 1
            planted.failed.append(f"the scenario's {name}: it was taken")
    return planted


def plant_texts(world: VirtualWorld, basket: Basket, planted: list[Planted]) -> None:
    """Plant in the lines that a tank gauge puts above its reports. A station without one has no device that sends text."""
    if world.gauge is None:
        return
    line = Planted("texts of the tank gauge")
    console = world.gauge.console
    kinds = basket.kinds
    for place in range(len(console.headers)):
        console.headers[place] = basket.next(kinds[place % len(kinds)]).digits
        line.inputs += 1
        line.taken += 1
    planted.append(line)


def _texts(value: Any, steps: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _texts(inner, (*steps, key))
    elif isinstance(value, list):
        for place, inner in enumerate(value[:1]):
            yield from _texts(inner, (*steps, place))
    elif isinstance(value, str):
        yield steps
