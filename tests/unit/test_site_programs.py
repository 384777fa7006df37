"""The components of Airflow, as the model gives them to the role that runs them."""

from typing import Any

import pytest
from airstrip_imagined import BALANCED, PLACED, imagined
from airstrip_render import programs as on_one_host
from ansible_collections.airstrip.core.plugins.module_utils.site_programs import programs
from hypothesis import given
from hypothesis import strategies as st

NAMES = st.from_regex(r"[A-Za-z0-9_.-]{1,20}", fullmatch=True)
WORKERS = st.lists(
    st.fixed_dictionaries({"name": NAMES, "queues": st.lists(NAMES, min_size=1, max_size=4)}),
    min_size=1,
    max_size=5,
    unique_by=lambda worker: worker["name"],
)


def instances(*workers: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = on_one_host({"site_workers": [*workers]}, "worker")["worker"]["instances"]
    return found


def test_a_worker_is_a_unit_with_its_queues_and_its_name() -> None:
    (found,) = instances({"name": "default", "queues": ["default"], "concurrency": 4})
    assert found == {
        "unit": "airflow-worker@default",
        "path": "/etc/systemd/system/airflow-worker@default.service",
        "directory": "worker-default",
        "name": "default",
        "node": "default@vm1",
        "arguments": " --queues default --celery-hostname default@vm1 --concurrency 4",
        "unit_options": {},
        "set": "default",
        "part_of": "",
    }


@pytest.mark.parametrize(
    ("worker", "slots"),
    [
        pytest.param({}, "--concurrency 8", id="computed"),
        pytest.param({"concurrency": 4}, "--concurrency 4", id="given"),
        pytest.param({"autoscale": {"min": 2, "max": 8}}, "--autoscale 8,2", id="autoscale, upper bound first"),
        pytest.param({"autoscale": {"min": 0, "max": 1}}, "--autoscale 1,0", id="autoscale from zero"),
    ],
)
def test_slots(worker: dict[str, Any], slots: str) -> None:
    (found,) = instances({"name": "a", "queues": ["x", "y"], **worker})
    assert found["arguments"] == f" --queues x,y --celery-hostname a@vm1 {slots}"


def test_unit_options_are_handed_on() -> None:
    (found,) = instances({"name": "jit", "queues": ["jit"], "unit_options": {"MemoryDenyWriteExecute": "no"}})
    assert found["unit_options"] == {"MemoryDenyWriteExecute": "no"}


@given(WORKERS)
def test_exactly_one_worker_of_a_host_serves_logs(workers: list[dict[str, Any]]) -> None:
    silent = [found["arguments"].endswith(" --skip-serve-logs") for found in instances(*workers)]
    assert silent == [index > 0 for index in range(len(workers))]


@given(WORKERS)
def test_names_of_units_and_nodes_differ(workers: list[dict[str, Any]]) -> None:
    found = instances(*workers)
    for key in ("unit", "node", "path"):
        assert len({instance[key] for instance in found}) == len(workers)


def test_a_host_has_the_components_that_are_placed_on_it() -> None:
    site = imagined(PLACED)
    assert [*programs(site, "control")] == ["api_server", "dag_processor", "scheduler", "triggerer"]
    assert [*programs(site, "worker1")] == ["worker"]
    assert programs(site, "store") == {}


@pytest.mark.parametrize(
    ("executor", "runs_tasks", "uses", "broker"),
    [
        ("CeleryExecutor", False, ["executor"], True),
        ("LocalExecutor", True, [], False),
        ("LocalExecutor,CeleryExecutor", True, ["executor"], True),
    ],
)
def test_a_scheduler_follows_the_executor(executor: str, runs_tasks: bool, uses: list[str], broker: bool) -> None:
    row = programs(imagined(PLACED, executor=executor), "control")["scheduler"]
    assert (row["runs_tasks"], row["uses"], "broker_url" in row["credentials"]) == (runs_tasks, uses, broker)


@pytest.mark.parametrize("tls", [True, False])
def test_an_api_server_has_a_certificate_with_tls(tls: bool) -> None:
    row = programs(imagined(BALANCED, tls_enabled=tls), "control")["api_server"]
    assert ("api_server_certificate_key" in row["credentials"]) is tls


def test_logs_are_served_where_another_host_asks_for_them() -> None:
    site = imagined(BALANCED)
    assert programs(site, "worker1")["worker"]["command"] == "celery worker"
    alone = imagined({group: ["vm"] for group in PLACED})
    rows = programs(alone, "vm")
    silent = {name for name, row in rows.items() if row["command"].endswith(" --skip-serve-logs")}
    assert silent == {"scheduler", "triggerer", "worker"}
