"""Airflow's own example DAGs, which people look at first: all that can end well on a site do."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import pytest
from airstrip_airflow import Airflow

AT_ONCE = 8
BUNDLES = {"examples", "standard-examples"}
INTERNET = "it asks a server in the internet"
INDEX = "it installs packages from the internet"
ASSET = "another example has given its asset another name"
# Why a file is not read.
NOT_READ = {
    "example_custom_weight.py": "its weight rule has to be a plugin of the site",
    "example_workday_timetable.py": "its timetable has to be a plugin of the site",
}
# Why one is not run.
NOT_RUN = {
    "asset_with_extra_by_context": ASSET,
    "asset_with_extra_by_yield": ASSET,
    "asset_with_extra_from_classic_operator": ASSET,
    "example_bash_decorator": "it makes directories below $AIRFLOW_HOME, which is root's (docs/hardening.md)",
    "example_branch_operator": "its NumPy has no package for Python 3.13",
    "example_branch_python_operator_decorator": "its NumPy has no package for Python 3.13",
    "example_dag_decorator": INTERNET,
    "example_failed_dag": "it fails on purpose",
    "example_hitl_operator": "it waits for a person",
    "example_passing_params_via_test_command": "it wants what `airflow dags test` gives it",
    "example_python_decorator": INDEX,
    "example_python_operator": INDEX,
    "example_retry_policy": INTERNET,
    "example_sensors": "it wants the connection fs_default, which a site does not come with",
    "read_asset_event": ASSET,
    "read_asset_event_from_classic": ASSET,
    "tutorial_objectstorage": INTERNET,
    "tutorial_taskflow_api_virtualenv": INDEX,
}

# What has to be given to one.
GIVEN = {"example_params_ui_tutorial": {"required_field": "given"}}


@pytest.fixture(scope="module")
def examples(airflow: Airflow) -> dict[str, dict[str, Any]]:
    """All example DAGs, by name."""
    found: list[dict[str, Any]] = []
    while part := airflow.request("GET", "/api/v2/dags", limit="100", offset=str(len(found)))["dags"]:
        found += part
    return {dag["dag_id"]: dag for dag in found if dag["bundle_name"] in BUNDLES}


def test_all_can_be_read(airflow: Airflow) -> None:
    errors = airflow.request("GET", "/api/v2/importErrors", limit="100")["import_errors"]
    found = {error["filename"]: error["stack_trace"] for error in errors if error["bundle_name"] in BUNDLES}
    assert {name: text for name, text in found.items() if name not in NOT_READ} == {}


def test_each_ends_well(airflow: Airflow, examples: dict[str, dict[str, Any]]) -> None:
    waiting = sorted(examples.keys() - NOT_RUN.keys())
    assert len(waiting) > 70
    assert NOT_RUN.keys() <= examples.keys()
    # Those that wait for another one's task wait for that of the same date.
    date = datetime.now(UTC).isoformat()
    for dag_id in waiting:
        airflow.request("PATCH", f"/api/v2/dags/{dag_id}", {"is_paused": False})
    running: dict[str, str] = {}
    ended: dict[str, str] = {}
    limit = time.monotonic() + 1800
    while (waiting or running) and time.monotonic() < limit:
        while waiting and len(running) < AT_ONCE:
            dag_id = waiting.pop(0)
            wanted = {"logical_date": date, "conf": GIVEN.get(dag_id, {})}
            run = airflow.request("POST", f"/api/v2/dags/{dag_id}/dagRuns", wanted)
            running[dag_id] = run["dag_run_id"]
        for dag_id, run_id in list(running.items()):
            if (state := airflow.state(dag_id, run_id)) in {"success", "failed"}:
                ended[dag_id] = state if state == "success" else failures(airflow, dag_id, running[dag_id])
                del running[dag_id]
        time.sleep(1)
    assert {dag_id: text for dag_id, text in ended.items() if text != "success"} == {}
    assert running == {}


def failures(airflow: Airflow, dag_id: str, run_id: str) -> str:
    """Return the exceptions in the logs of what failed in a run."""
    found = []
    for task in airflow.tasks(dag_id, run_id):
        if task["state"] == "failed":
            path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task['task_id']}/logs/{task['try_number']}"
            lines = airflow.request("GET", path, map_index=str(task["map_index"]), full_content="true")["content"]
            errors = [error for line in lines for error in line.get("error_detail") or []]
            found.append(f"{task['task_id']}: {[(error['exc_type'], error['exc_value'][:300]) for error in errors]}")
    return "\n".join(found)
