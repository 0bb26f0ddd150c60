"""An HTTP fault names hosts that are there, and a way that somebody goes."""

from __future__ import annotations

import pytest

from scenarios.loader import LIBRARY, ScenarioError, load, parse
from scenarios.model.hosts import http_routes
from scenarios.world.faults import _routes
from scenarios.world.keys import run_keys
from scenarios.world.virtual import VirtualWorld, WorldOptions

SMOKE = (LIBRARY / "smoke.yaml").read_text(encoding="utf-8")
FAULT = "faults:\n  - {{target: http, client: {client}, host: {host}, kind: reply_lost, at_s: 1, for_s: 2}}\n"


def refused(client: str, host: str) -> str:
    with pytest.raises(ScenarioError) as caught:
        parse(SMOKE + FAULT.format(client=client, host=host), "my.yaml")
    return str(caught.value)


def test_an_unknown_host_is_told_with_file_line_field_and_a_near_one():
    line = SMOKE.count("\n") + 2
    message = refused("phone", "backend-a.statoin")
    assert message.startswith(f"my.yaml:{line}: faults[0].host: faults[0] names host 'backend-a.statoin'")
    assert "did you mean 'backend-a.station'" in message
    assert message.count("\n") == 0


def test_an_unknown_client_is_told():
    message = refused("phones", "backend-a.station")
    assert "faults[0].client: faults[0] names client 'phones', which nobody here is called" in message
    assert "did you mean 'phone'" in message


def test_a_backend_that_the_scenario_does_not_have_is_told():
    assert "faults[0].host: faults[0] names host 'backend-h.station'" in refused("site", "backend-h.station")
    assert "faults[0].client: faults[0] names client 'backend-h'" in refused("backend-h", "payer.sim")


def test_a_way_that_nobody_goes_is_told():
    message = refused("site", "payer.sim")
    assert (
        "faults[0].host: faults[0] never strikes: site does not call payer.sim; it calls backend-a" in message
    )


def test_every_way_that_the_swarm_draws_may_stand_in_a_file():
    routes = http_routes(3)
    assert [(client, host) for client, host in _routes(3) if host not in routes[client]] == []
    for client, hosts in http_routes(load("smoke").scenario.backend.instances).items():
        for host in hosts:
            loaded = parse(SMOKE + FAULT.format(client=client, host=host), "my.yaml")
            assert len(loaded.scenario.faults) == 1


def test_a_run_goes_no_other_ways():
    scenario = load("smoke").scenario
    world = VirtualWorld(scenario, 1, keys=run_keys(), options=WorldOptions(skip_idle_polls=True))
    gone: set[tuple[str, str]] = set()

    def listen(event) -> None:
        if event["kind"] == "http":
            gone.add((event["client"], event["entity"]))

    world.kernel.trace.listen(listen)
    try:
        world.run()
    finally:
        world.close()
    routes = http_routes(scenario.backend.instances)
    ways = {(client, host) for client, hosts in routes.items() for host in hosts}
    assert gone - ways <= {("oracle", host) for host in routes["site"]}
    assert {client for client, _ in gone} >= {"site", "phone", "kiosk", "gateway", "balancer", "backend-a"}
