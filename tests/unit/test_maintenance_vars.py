"""What the variables of airflow_maintenance and airflow make of what hosts have said, beyond the filters."""

from __future__ import annotations

from typing import Any

import pytest
from airstrip_render import Role

ANSWER = {"installed_version": "3.3.2", "drained": ""}
WORKER = "/etc/systemd/system/airflow-worker@default.service"


def maintenance(**given: Any) -> Role:
    """Return the role on one of two hosts of the run, with a third outside of it."""
    outside = {"results": [{"airflow_maintenance_host": "w2", "drained": "{}", "installed_version": "3.3.2"}]}
    hosts = {
        "d1": {"airflow_maintenance_host_facts": ANSWER, "__airflow_maintenance_outside": outside},
        "w1": {"airflow_maintenance_host_facts": ANSWER},
    }
    known: dict[str, Any] = {
        "inventory_hostname": "w1",
        "ansible_play_hosts_all": ["d1", "w1"],
        "hostvars": hosts,
        "airflow_maintenance_site_components": {
            "redis": {"hosts": ["d1"], "tier": "broker"},
            "worker": {"hosts": ["w1", "w2"], "tier": "airflow"},
        },
    }
    return Role("airflow_maintenance", known | given)


def test_hosts_of_the_run_and_those_outside_are_known() -> None:
    role = maintenance(airflow_maintenance_action="drain")
    assert role.evaluate("__airflow_maintenance_outside_hosts") == ["w2"]
    (problem,) = role.evaluate("__airflow_maintenance_problems")
    assert "leave worker without a host in service: w1 would go" in problem
    for allowed in (True, "true"):
        role = maintenance(airflow_maintenance_action="drain", airflow_maintenance_all_allowed=allowed)
        assert role.evaluate("__airflow_maintenance_problems") == []


@pytest.mark.parametrize(("host", "asker"), [("w1", "w1"), ("d1", "w1")])
def test_a_host_in_service_asks_whether_airflow_is_healthy(host: str, asker: str) -> None:
    assert maintenance(inventory_hostname=host).evaluate("__airflow_maintenance_asker") == asker


def test_where_all_is_drained_nobody_asks() -> None:
    drained = {host: {"airflow_maintenance_host_facts": {"drained": "x"}} for host in ("d1", "w1")}
    assert maintenance(hostvars=drained).evaluate("__airflow_maintenance_asker") == ""


@pytest.mark.parametrize(("connection", "restarts"), [({}, True), ({"ansible_connection": "local"}, False)])
def test_a_controller_does_not_restart_itself(connection: dict[str, str], restarts: bool) -> None:
    role = maintenance(
        __airflow_maintenance_simulation={"stdout": "Inst openssl"},
        __airflow_maintenance_restart={"stat": {"exists": True}},
        **connection,
    )
    found = role.evaluate("__airflow_maintenance_plan")
    assert (found["due"], found["drains"], found["restarts"]) == (True, True, restarts)
    assert role.evaluate("__airflow_maintenance_was_drained") is False


@pytest.mark.parametrize(("by", "taken_over"), [("update_packages", True), ("operator", False)])
def test_an_operator_takes_over_what_an_update_has_drained(by: str, taken_over: bool) -> None:
    mark = Role("airflow_maintenance", {"airflow_maintenance_by": by, "airflow_config_directory": "/etc/airflow"})
    written = mark.evaluate("__airflow_maintenance_words | to_nice_json")
    found = maintenance(airflow_maintenance_host_facts={"drained": written})
    assert found.evaluate("__airflow_maintenance_was_updated") is taken_over
    assert found.evaluate("__airflow_maintenance_was_drained") is True


@pytest.mark.parametrize(("active", "units"), [("active", ["airflow-worker@default.service"]), ("inactive", [])])
def test_tasks_run_in_the_units_of_workers(active: str, units: list[str]) -> None:
    state = {"facts": {"units": [{"unit": "airflow-worker@default.service", "active": active}], "drained": None}}
    role = maintenance(__airflow_maintenance_state=state)
    assert role.evaluate("__airflow_maintenance_task_units") == units
    assert role.evaluate("__airflow_maintenance_idle") == []


@pytest.mark.parametrize(
    ("result", "due"),
    [
        pytest.param({"state": "started", "status": {"ActiveState": "inactive"}}, False, id="started here"),
        pytest.param({"state": "started", "status": {"ActiveState": "active"}}, True, id="to be restarted"),
        pytest.param(
            {"state": "started", "status": {"ActiveState": "inactive", "NeedDaemonReload": "yes"}}, True, id="old unit"
        ),
        pytest.param({"status": {"ActiveState": "inactive"}}, True, id="changed, left to the handler"),
    ],
)
def test_what_a_run_has_started_does_not_restart(result: dict[str, Any], due: bool) -> None:
    """A worker that takes a task at once would be drained again, and its task waited for."""
    instance = {"path": WORKER, "unit": "airflow-worker@default"}
    status = {"NeedDaemonReload": "no"} | result["status"]
    services = {"results": [result | {"status": status, "changed": True, "airflow_instance": instance}]}
    units: dict[str, list[str]] = {"created_paths": [], "changed_paths": []}
    known = {"airflow_component": "worker", "__airflow_services": services, "__airflow_units": units}
    role = Role("airflow", known | {"airflow_stopped_for_migration": False})
    assert role.evaluate("__airflow_due_instances") == ([instance] if due else [])
