"""How a site is, worked out from what its hosts, its database and its broker have said."""

import json
import re
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airstrip_certificates import issue
from airstrip_status import COMPONENTS, NEW, NOW, OLD, host, seen, unit
from airstrip_tree import PROJECT
from ansible.errors import AnsibleFilterError
from site_status import airflow_status


def row(site: dict[str, Any], component: str) -> dict[str, Any]:
    """Return the only row of a component."""
    found: list[dict[str, Any]] = [row for row in airflow_status(site)["components"] if row["component"] == component]
    assert len(found) == 1
    return found[0]


def problems(site: dict[str, Any]) -> list[str]:
    return [problem["text"] for problem in airflow_status(site)["problems"]]


def with_unit(name: str, **changed: Any) -> dict[str, Any]:
    """Return a site in which a unit is not as it should be."""
    site = seen()
    for entry in site["hosts"].values():
        for found in entry["look"]["units"]:
            if found["unit"] == f"{name}.service":
                found.update(changed)
    return site


def test_a_site_in_which_all_is_well_needs_no_attention() -> None:
    status = airflow_status(seen())
    assert status["problems"] == []
    assert {row["state"] for row in status["components"]} == {"active"}
    assert {row["level"] for row in status["components"]} == {"good"}
    assert [(row["host"], row["component"]) for row in status["components"]] == [
        ("data", "postgresql"), ("data", "redis"), ("control", "api_server"), ("control", "scheduler"),
        ("control", "dag_processor"), ("control", "triggerer"), ("worker", "worker@default"), ("worker", "worker@big"),
    ]  # fmt: skip
    assert (status["site"], status["time"], status["executor"]) == (
        "production", "2027-01-15T08:00:00Z", "CeleryExecutor",
    )  # fmt: skip
    json.dumps(status)


def test_a_row_tells_all_of_a_component() -> None:
    assert row(seen(), "worker@default") == {
        "host": "worker", "component": "worker@default", "unit": "airflow-worker@default.service",
        "version": "3.3.2", "release": NEW, "state": "active", "level": "good", "since": "2027-01-15T07:00:00Z",
        "seconds": 3600.0, "restarts": 0, "heartbeat": 0.0, "busy": 5, "slots": 16, "shared": False, "note": "",
    }  # fmt: skip
    scheduler = row(seen(), "scheduler")
    assert (scheduler["heartbeat"], scheduler["slots"], scheduler["busy"]) == (1.4, None, None)
    assert (row(seen(), "redis")["unit"], row(seen(), "redis")["release"]) == ("valkey-server.service", "")


@pytest.mark.parametrize(
    ("changed", "state", "level"),
    [
        pytest.param({"active": "failed", "sub": "failed"}, "failed", "bad", id="failed"),
        pytest.param({"active": "inactive", "sub": "dead"}, "stopped", "bad", id="stopped"),
        pytest.param(
            {"active": "activating", "sub": "auto-restart"}, "restarting", "bad", id="restarts again and again"
        ),
        pytest.param({"active": "activating", "sub": "start"}, "starting", "warning", id="starts"),
        pytest.param({"active": "deactivating", "sub": "stop-sigterm"}, "stopping", "warning", id="drains"),
        pytest.param({"active": "reloading", "sub": "reload"}, "active", "good", id="reloads"),
        pytest.param({"active": "maintenance", "sub": "x"}, "maintenance", "bad", id="unheard of"),
    ],
)
def test_states_of_systemd_are_one_word(changed: dict[str, str], state: str, level: str) -> None:
    found = row(with_unit("airflow-scheduler", **changed), "scheduler")
    assert (found["state"], found["level"]) == (state, level)


def test_what_is_bad_is_said_with_the_journal_to_read() -> None:
    site = with_unit("airflow-scheduler", active="failed", sub="failed", result="exit-code", release="", since=NOW - 60)
    assert problems(site) == [
        "control: scheduler is failed (exit-code) since 2027-01-15 07:59:00 UTC. See journalctl -u airflow-scheduler."
    ]
    assert row(site, "scheduler")["release"] == NEW


def test_what_the_inventory_expects_and_systemd_does_not_know_is_missing() -> None:
    site = seen()
    del site["hosts"]["worker"]["look"]["units"][1]
    assert row(site, "worker@big")["state"] == "missing"
    assert problems(site) == ["worker: worker@big is not installed. Run site.yml."]


def test_what_runs_and_is_not_in_the_inventory_is_shown() -> None:
    site = seen()
    units = site["hosts"]["data"]["look"]["units"]
    units += [unit("airflow-worker@old"), unit("haproxy", active="inactive"), unit("redis-server", active="inactive")]
    assert row(site, "worker@old")["note"] == "not in the inventory"
    assert problems(site) == [
        "data: worker@old (airflow-worker@old.service) runs, and is not in the inventory. Run site.yml."
    ]
    # Of two engines, the one that is on.
    assert row(site, "redis")["unit"] == "valkey-server.service"


def test_every_component_of_the_registry_has_a_row_where_it_is_placed() -> None:
    site = seen()
    site["hosts"]["data"] = host("data", ["keepalived", "load_balancer"], unit("haproxy"), unit("keepalived"))
    assert [found["component"] for found in airflow_status(site)["components"]][:2] == ["keepalived", "load_balancer"]
    del site["hosts"]["data"]["look"]["units"][1]
    assert problems(site) == ["data: keepalived is not installed. Run site.yml."]


@pytest.mark.parametrize(("age", "state"), [(1.0, "active"), (29.0, "active"), (31.0, "silent"), (None, "silent")])
def test_a_component_that_runs_and_does_not_beat_is_silent(age: float | None, state: str) -> None:
    site = seen()
    jobs = site["database"]["jobs"]
    jobs[1]["age"] = age
    if age is None:
        del jobs[1]
    found = row(site, "dag_processor")
    assert (found["state"], found["heartbeat"]) == (state, age)
    said = "does not answer" if age is None else f"gave its last sign of life {age:.0f} s ago"
    expected = f"control: dag_processor is active, but {said}. See journalctl -u airflow-dag-processor."
    assert problems(site) == ([expected] if state == "silent" else [])


def test_a_component_that_has_just_started_may_take_its_time() -> None:
    site = with_unit("airflow-dag-processor", age=20.0)
    del site["database"]["jobs"][1]
    assert row(site, "dag_processor")["state"] == "active"


def test_servers_and_workers_that_do_not_answer_are_silent() -> None:
    site = seen()
    site["hosts"]["control"]["look"]["answers"] = [None]
    site["broker"]["answers"] = ["default@worker"]
    states = {found["component"]: found["state"] for found in airflow_status(site)["components"]}
    assert {name for name, state in states.items() if state == "silent"} == {"api_server", "worker@big"}


def test_nobody_is_silent_whom_nobody_could_ask() -> None:
    site = seen()
    site["database"] = {"error": "connection refused\n\tIs the server running?"}
    traceback = "Traceback (most recent call last):\n  File x, line 1\nModuleNotFoundError: No module named 'celery'\n"
    site["broker"] = {"error": traceback, "asked": False, "queues": {}, "answers": []}
    status = airflow_status(site)
    assert {found["state"] for found in status["components"]} == {"active"}
    worker = row(site, "worker@default")
    assert (worker["heartbeat"], worker["busy"], worker["slots"]) == (None, None, 16)
    assert [(found["waiting"], found["queued"]) for found in status["queues"]] == [(None, None), (None, None)]
    assert problems(site) == [
        "No answer from the metadata database: connection refused Is the server running?",
        "No answer from the broker: ModuleNotFoundError: No module named 'celery'",
    ]


def test_workers_of_a_host_that_has_told_no_name_are_not_silent() -> None:
    site = seen()
    site["hosts"]["worker"]["node"] = ""
    assert (row(site, "worker@big")["state"], row(site, "worker@big")["heartbeat"]) == ("active", None)


def test_a_host_that_cannot_be_reached_is_shown_with_what_others_know_of_it() -> None:
    site = seen()
    site["hosts"]["control"].update(look={}, unreachable=True, error="No route to host")
    site["hosts"]["worker"].update(look={}, error="python3: not found", node="", concurrency=0)
    scheduler, worker = row(site, "scheduler"), row(site, "worker@default")
    assert (scheduler["state"], scheduler["heartbeat"], scheduler["restarts"]) == ("unreachable", 1.4, None)
    assert (worker["state"], worker["busy"], worker["slots"]) == ("unknown", 5, None)
    assert airflow_status(site)["queues"][1]["slots"] is None
    assert problems(site) == [
        "control cannot be reached: No route to host",
        "worker cannot be looked at: python3: not found",
    ]


def test_a_drained_host_says_so_and_its_stopped_components_are_meant() -> None:
    site = with_unit("airflow-worker@big", active="inactive", sub="dead", release="")
    site["hosts"]["worker"]["look"]["drained"] = {"since": "2027-01-15T07:00:00Z", "reason": "new disk"}
    found = row(site, "worker@big")
    assert (found["state"], found["level"]) == ("stopped", "warning")
    assert problems(site) == [
        "worker is drained since 2027-01-15T07:00:00Z: new disk. Take it back by playbooks/undrain.yml."
    ]
    assert airflow_status(site)["hosts"][2]["drained"]["reason"] == "new disk"


def test_a_process_of_another_release_than_that_which_is_installed_is_told() -> None:
    site = with_unit("airflow-triggerer", release=OLD)
    found = row(site, "triggerer")
    assert (found["version"], found["release"], found["level"]) == ("3.2.2", OLD, "good")
    assert found["note"] == f"runs {OLD}, and {NEW} is installed"
    assert problems(site) == [f"control: triggerer {found['note']}. Run site.yml, or restart it."]


def test_hosts_with_different_releases_are_told() -> None:
    site = with_unit("airflow-worker@default", release=OLD)
    site["hosts"]["worker"]["look"]["units"][1]["release"] = OLD
    site["hosts"]["worker"]["look"]["current"] = OLD
    assert problems(site) == [f"Hosts have different releases: {OLD}, {NEW}. Run site.yml."]


def test_workers_with_a_queue_in_common_are_counted_together() -> None:
    site = seen()
    site["hosts"]["worker"]["workers"] = [
        {"name": "default", "queues": ["default", "x"]},
        {"name": "big", "queues": ["big", "x"], "autoscale": {"min": 1, "max": 4}},
    ]
    site["database"]["running"].append({"hostname": "worker", "queue": "big", "tasks": 1})
    for name in ("worker@default", "worker@big"):
        found = row(site, name)
        assert (found["busy"], found["slots"], found["shared"]) == (6, 20, True)


def test_queues_are_those_with_workers_and_those_with_tasks() -> None:
    site = seen()
    site["database"]["queued"].append({"queue": "gpu", "tasks": 7})
    site["broker"]["queues"]["gpu"] = 4
    assert airflow_status(site)["queues"] == [
        {"queue": "big", "waiting": 0, "queued": 0, "workers": 1, "slots": 2},
        {"queue": "default", "waiting": 2, "queued": 3, "workers": 1, "slots": 16},
        {"queue": "gpu", "waiting": 4, "queued": 7, "workers": 0, "slots": 0},
    ]
    assert problems(site) == ["Queue gpu has 7 tasks and no worker. Add it to site_workers."]


def test_without_celery_the_schedulers_have_the_slots() -> None:
    names = ["postgresql", "api_server", "scheduler", "dag_processor", "triggerer"]
    units = [unit(COMPONENTS[name]["unit"]) for name in names[1:]]
    site = seen(executor="LocalExecutor", uses_celery=False, parallelism=32)
    site["hosts"] = {"control": host("control", names, unit("postgresql@15-main"), *units)}
    site["broker"] = {"error": "", "asked": False, "queues": {}, "answers": []}
    site["database"]["running"] = [{"hostname": "control", "queue": "default", "tasks": 3}]
    scheduler = row(site, "scheduler")
    assert (scheduler["busy"], scheduler["slots"]) == (3, 32)
    assert airflow_status(site)["queues"] == []
    assert problems(site) == []


def test_hosts_whose_names_airflow_makes_by_a_function_have_no_heartbeat() -> None:
    site = seen()
    for entry in site["hosts"].values():
        entry["names"] = []
    assert (row(site, "scheduler")["state"], row(site, "scheduler")["heartbeat"]) == ("active", None)
    assert row(site, "worker@default")["busy"] is None
    assert row(site, "worker@default")["heartbeat"] == 0.0


def test_certificates_tell_their_days() -> None:
    site = seen(authority=issue("ca").pem)
    # A minute ago, so that whole days are left.
    site["now"] = time.time() - 60
    site["hosts"]["data"]["certificates"] = {
        "postgresql": issue("a", days=(-1, 30)).pem,
        "redis": issue("b", days=(-9, -1)).pem,
        "load_balancer": "",
    }
    site["hosts"]["control"]["certificates"] = {"api_server": issue("c", days=(-1, 20)).pem}
    found = {
        (entry["host"], entry["service"]): (entry["days"], entry["level"])
        for entry in airflow_status(site)["certificates"]
    }
    assert found == {
        ("", "authority"): (90, "good"), ("data", "postgresql"): (30, "good"), ("data", "redis"): (-1, "bad"),
        ("data", "load_balancer"): (None, "bad"), ("control", "api_server"): (20, "warning"),
    }  # fmt: skip
    ended = datetime.now(UTC) - timedelta(days=1)
    assert problems(site) == [
        f"data: the certificate of redis ended on {ended:%Y-%m-%d}. Run site.yml, or replace it if it is your own.",
        "data: the certificate of load_balancer is not there or cannot be read. Run site.yml.",
        "control: the certificate of api_server ends in 20 days. Run site.yml, or replace it if it is your own.",
    ]


@pytest.mark.parametrize("given", [None, [], {}, {"hosts": {}}, {**seen(), "broker": None}])
def test_anything_else_is_refused(given: Any) -> None:
    with pytest.raises(AnsibleFilterError, match="give what the role status has seen"):
        airflow_status(given)


def test_a_finding_can_be_muted_until_a_moment() -> None:
    site = with_unit("airflow-scheduler", active="failed", sub="failed")
    assert [problem["code"] for problem in airflow_status(site)["problems"]] == ["component-down"]
    for until, shown in (("2027-01-15T08:00:01Z", 0), ("2027-01-15T08:00:00Z", 1), ("2027-01-16", 0)):
        assert len(airflow_status(site | {"muted": {"component-down": until}})["problems"]) == shown, until
    assert len(airflow_status(site | {"muted": {"component-silent": "2027-01-16"}})["problems"]) == 1
    with pytest.raises(AnsibleFilterError, match="status_muted: component-down has the time 'soon'"):
        airflow_status(site | {"muted": {"component-down": "soon"}})


def test_every_code_is_explained() -> None:
    text = (PROJECT / "filter_plugins" / "site_status.py").read_text(encoding="utf-8")
    codes = set(re.findall(r'"([a-z]+-[a-z]+)",', text)) | {"database-silent", "broker-silent"}
    document = (PROJECT / "docs" / "operations-status.md").read_text(encoding="utf-8")
    assert codes == set(re.findall(r"^\| `([a-z]+-[a-z]+)` \|", document, flags=re.MULTILINE))
    assert len(codes) > 10
