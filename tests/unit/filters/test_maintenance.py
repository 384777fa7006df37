"""Who may go out of service and come back, and what becomes of a host that is updated."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airstrip_status import FIVE, facts, model, seen, unit
from ansible.errors import AnsibleFilterError
from maintenance import (
    airflow_hosts_in_service,
    airflow_maintenance_problems,
    airflow_part_units,
    airflow_parts_missing,
    airflow_start_report,
    airflow_update_failure,
    airflow_update_plan,
)

MARK = json.dumps({"since": "2026-11-24T03:00:00Z", "reason": "new disk", "by": "operator"})
OWN = json.dumps({"since": "2026-11-24T03:00:00Z", "reason": "update of its packages", "by": "update_packages"})
HOSTS = ("control-1", "control-2", "worker-1", "worker-2")
ALLOW = "-e airflow_maintenance_all_allowed=true"


def answer(version: str = "3.3.2", drained: str = "") -> dict[str, Any]:
    return {"installed_version": version, "drained": drained}


def known(*run: str, drained: tuple[str, ...] = (), silent: tuple[str, ...] = (), **other: Any) -> dict[str, Any]:
    """Return what a run knows of a site on five hosts: `drained` are those that are, `silent` do not answer."""
    said = {host: answer(drained=MARK if host in drained else "") for host in ("data-1", *HOSTS)}
    said |= {host: {"unreachable": True} for host in silent}
    hosts = run or ("data-1", *HOSTS)
    outside = [said[host] | {"airflow_maintenance_host": host} for host in said if host not in hosts]
    return {
        "components": model(FIVE)["components"],
        "hosts": {host: said[host] for host in hosts},
        "outside": outside,
        "run": list(hosts),
        "limit": ",".join(run),
        "wanted": "3.3.2",
        "allowed": False,
    } | other


def single(action: str, *, drained: str = "", **other: Any) -> list[str]:
    """Return what stands in the way on a single VM."""
    components = {name: row | {"hosts": ["vm"]} for name, row in model(FIVE)["components"].items()}
    site = known() | {"components": components, "hosts": {"vm": answer(drained=drained)}, "outside": [], "run": ["vm"]}
    return airflow_maintenance_problems(site | other, action)


@pytest.mark.parametrize(
    ("run", "drained", "silent"),
    [
        (("worker-1",), (), ()),
        (("control-1", "worker-1"), (), ()),
        # It is out of service already, and nothing changes.
        (("worker-1",), ("worker-1", "worker-2"), ()),
        (("worker-2",), (), ("control-1",)),
    ],
)
def test_a_host_is_drained_where_others_are_left(
    run: tuple[str, ...], drained: tuple[str, ...], silent: tuple[str, ...]
) -> None:
    assert airflow_maintenance_problems(known(*run, drained=drained, silent=silent), "drain") == []


@pytest.mark.parametrize(
    ("run", "drained", "silent", "words"),
    [
        (("worker-1", "worker-2"), (), (), "leave worker without a host in service: worker-1 and worker-2 would go"),
        (("worker-1",), ("worker-2",), (), "leave worker without a host in service: worker-1 would go"),
        (("worker-1",), (), ("worker-2",), "leave worker without a host in service: worker-1 would go"),
    ],
)
def test_the_last_host_of_a_component_is_not_drained_unasked(
    run: tuple[str, ...], drained: tuple[str, ...], silent: tuple[str, ...], words: str
) -> None:
    site = known(*run, drained=drained, silent=silent)
    (problem,) = airflow_maintenance_problems(site, "drain")
    assert words in problem
    assert ALLOW in problem
    assert "--limit" in problem
    assert airflow_maintenance_problems(site | {"allowed": True}, "drain") == []


def test_all_components_are_named_with_their_hosts() -> None:
    problems = airflow_maintenance_problems(known(), "drain")
    assert len(problems) == 2
    assert "api_server and dag_processor and scheduler and triggerer" in problems[0]
    assert "control-1 and control-2 would go" in problems[0]
    assert len(single("drain")) == 1


def test_an_update_drains_a_single_host_and_no_last_one_of_several() -> None:
    assert airflow_maintenance_problems(known(), "update") == []
    assert single("update") == []
    (problem,) = airflow_maintenance_problems(known(drained=("worker-1",)), "update")
    assert "worker-2 would go" in problem
    assert ALLOW in problem
    assert airflow_maintenance_problems(known(drained=("worker-1",), allowed=True), "update") == []
    # Those that an operator has drained stay as they are.
    assert airflow_maintenance_problems(known("worker-1", "data-1", drained=("worker-1",)), "update") == []


def test_several_drained_hosts_come_back_by_name() -> None:
    assert airflow_maintenance_problems(known(drained=("worker-1",)), "undrain") == []
    assert airflow_maintenance_problems(known("worker-1", drained=("worker-1", "worker-2")), "undrain") == []
    (problem,) = airflow_maintenance_problems(known(drained=("worker-1", "control-2")), "undrain")
    assert "control-2 and worker-1 are drained. Say by --limit" in problem
    assert "--limit all" in problem
    assert airflow_maintenance_problems(known(drained=("worker-1", "control-2"), limit="all"), "undrain") == []


def test_a_host_that_was_away_comes_back_on_the_release_of_the_others() -> None:
    site = known("worker-1", drained=("worker-1",))
    site["hosts"]["worker-1"]["installed_version"] = "3.2.2"
    assert airflow_maintenance_problems(site, "undrain") == []


def test_no_host_comes_back_by_an_upgrade() -> None:
    site = known("worker-1", drained=("worker-1",), wanted="3.4.0")
    (problem,) = airflow_maintenance_problems(site, "undrain")
    assert problem.startswith(
        "worker-1: site_airflow_version is 3.4.0, and control-1, which is in service, runs 3.3.2. No host comes back by"
    )
    assert "or set site_airflow_version to what the site runs" in problem
    # The inventory was not brought up to date after the upgrade.
    (problem,) = airflow_maintenance_problems(known("worker-1", drained=("worker-1",), wanted="3.2.2"), "undrain")
    assert "site_airflow_version is 3.2.2, and control-1, which is in service, runs 3.3.2" in problem
    # Nothing is in service that shows what the database is at.
    (problem,) = single("undrain", drained=MARK, wanted="3.4.0")
    assert problem.startswith("vm: site_airflow_version is 3.4.0, and 3.3.2 is installed, with no ")
    assert single("undrain", drained=MARK) == []


@pytest.mark.parametrize("action", ["stop", "start"])
def test_a_site_stops_and_starts_as_a_whole(action: str) -> None:
    assert airflow_maintenance_problems(known(drained=("worker-1",)), action) == []
    rest = ("data-1", "control-1", "control-2", "worker-1")
    assert airflow_maintenance_problems(known(*rest, silent=("worker-2",)), action) == []
    (problem,) = airflow_maintenance_problems(known(*rest), action)
    assert "worker-2 would be left out by --limit. Run it without" in problem
    assert "playbooks/drain.yml" in problem


def test_hosts_in_service_have_answered_and_are_not_drained() -> None:
    site = known("data-1", "control-1", drained=("worker-1",), silent=("worker-2",))
    assert airflow_hosts_in_service(site) == ["control-1", "control-2"]


def test_a_site_that_was_started_names_what_is_drained() -> None:
    assert airflow_start_report(known()).startswith(
        "The site works: all of Airflow is healthy on control-1, control-2,"
    )
    report = airflow_start_report(known(drained=("worker-1", "worker-2")))
    assert report.endswith("not started: worker-1, worker-2 (playbooks/undrain.yml --limit worker-1,worker-2).")
    assert "The site works" not in airflow_start_report(known(drained=HOSTS))


@pytest.mark.parametrize("name", ["components", "hosts", "outside", "run", "limit", "wanted", "allowed"])
def test_what_is_missing_is_named(name: str) -> None:
    site = {key: value for key, value in known().items() if key != name}
    with pytest.raises(AnsibleFilterError, match=f"'{name}' is missing"):
        airflow_maintenance_problems(site, "drain")
    with pytest.raises(AnsibleFilterError, match="none of drain, undrain, update, stop, start"):
        airflow_maintenance_problems(known(), "reboot")


SIMULATED = """Reading package lists...
Inst openssl [3.5.1-1] (3.5.4-1 Debian:13.2/stable [amd64])
Remv old [1]
Conf openssl (3.5.4-1 Debian:13.2/stable [amd64])
"""


def plan(**given: Any) -> dict[str, Any]:
    facts = {"host": "app1", "is_airflow": True, "simulation": "", "wants_restart": False}
    return airflow_update_plan(facts | {"restart_allowed": True, "connection": "ssh", "drained": ""} | given)


@pytest.mark.parametrize(
    ("given", "due", "drains", "restarts", "text"),
    [
        ({}, False, False, True, "app1: nothing to update."),
        ({"simulation": SIMULATED}, True, True, True, "app1: 2 packages to update; is drained meanwhile."),
        ({"simulation": SIMULATED, "is_airflow": False}, True, False, True, "app1: 2 packages to update."),
        # dpkg was killed.
        ({"simulation": "Conf openssl (3)"}, True, True, True, "app1: 1 package to update; is drained meanwhile."),
        ({"wants_restart": True}, True, True, True, "app1: 0 packages to update; is drained meanwhile."),
        (
            {"wants_restart": True, "connection": "local"},
            False,
            False,
            False,
            "app1: nothing to update; does not restart, because it is its own controller: restart it by hand.",
        ),
        (
            {"simulation": SIMULATED, "connection": "local"},
            True,
            True,
            False,
            "app1: 2 packages to update; is drained meanwhile; does not restart, because it is its own controller: if "
            "it wants a restart, that is yours to do.",
        ),
        (
            {"wants_restart": True, "restart_allowed": False},
            False,
            False,
            False,
            "app1: nothing to update; does not restart, because airflow_maintenance_reboot_allowed is false: restart "
            "it by hand.",
        ),
        (
            {"simulation": SIMULATED, "drained": MARK},
            True,
            False,
            True,
            "app1: 2 packages to update; was drained before, and stays so.",
        ),
        ({"drained": "by hand"}, False, False, True, "app1: nothing to update; was drained before, and stays so."),
        # An update that was interrupted has left it.
        ({"drained": OWN}, True, True, True, "app1: 0 packages to update; is drained meanwhile."),
    ],
)
def test_an_update_looks_first(given: dict[str, Any], due: bool, drains: bool, restarts: bool, text: str) -> None:
    found = plan(**given)
    assert (found["due"], found["drains"], found["restarts"]) == (due, drains, restarts)
    assert found["text"] == text


def test_a_plan_needs_its_facts() -> None:
    with pytest.raises(AnsibleFilterError, match="'simulation' is missing"):
        airflow_update_plan({"host": "a", "connection": "ssh"})


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("back", "app1 is back in service"),
        ("drained", "by playbooks/undrain.yml --limit app1."),
        ("as before", "app1 was not drained for the update"),
    ],
)
def test_a_failed_update_says_how_the_host_is(state: str, words: str) -> None:
    text = airflow_update_failure("app1", state)
    assert words in text
    assert "playbooks/update_packages.yml --limit app1 again" in text


def test_other_ends_are_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="none of back, drained, as before"):
        airflow_update_failure("app1", "gone")


def stopped(name: str) -> dict[str, Any]:
    return unit(name, active="inactive", sub="dead")


def test_the_units_of_a_component_are_found_also_where_they_are_stopped() -> None:
    site = seen()
    record, said = site["site"]["hosts"]["data"]["status"], facts(site, "data")
    said["units"] = [stopped("postgresql@17-main"), stopped("redis-server")]
    assert airflow_part_units(said, record, "postgresql") == ["postgresql@17-main.service"]
    assert airflow_part_units(said, record, "worker") == []
    worker = site["site"]["hosts"]["worker"]["status"]
    assert airflow_part_units(facts(site, "worker"), worker, "worker") == [
        "airflow-worker@default.service", "airflow-worker@big.service",
    ]  # fmt: skip
    # An old cluster does not start with its host.
    said["units"].insert(0, stopped("postgresql@15-main") | {"enabled": "disabled"})
    assert airflow_part_units(said, record, "postgresql") == ["postgresql@17-main.service"]
    said["units"][0] |= {"active": "active"}
    assert airflow_part_units(said, record, "postgresql") == ["postgresql@15-main.service"]


def test_what_does_not_work_is_named() -> None:
    site = seen()
    record, said = site["site"]["hosts"]["data"]["status"], facts(site, "data")
    both = ["postgresql", "redis"]
    assert airflow_parts_missing(said, record, both) == []
    said["units"] = [stopped("postgresql@17-main"), unit("redis-server")]
    for one in said["answers"]:
        one |= {"seconds": None, "error": "Connection refused"}
    assert airflow_parts_missing(said, record, both) == [
        "postgresql is stopped", "redis is active, but redis 6379 does not answer: Connection refused",
    ]  # fmt: skip
    assert len(airflow_parts_missing(said, record, ["redis"])) == 1
    said["units"] = []
    assert airflow_parts_missing(said, record, ["postgresql"]) == ["postgresql is missing"]


def test_nothing_of_airflow_has_to_work_on_a_drained_host() -> None:
    site = seen(model(FIVE))
    record, said = site["site"]["hosts"]["control-1"]["status"], facts(site, "control-1")
    names = [part["component"] for part in record["parts"]]
    for found in said["units"]:
        found |= {"active": "inactive", "sub": "dead"}
    assert len(airflow_parts_missing(said, record, names)) == 5
    said["drained"] = {"since": "", "reason": ""}
    assert airflow_parts_missing(said, record, names) == ["load_balancer is stopped"]


def test_other_shapes_are_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="airflow_part_units: the facts"):
        airflow_part_units({}, {}, "redis")
