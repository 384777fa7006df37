"""The units of a host's workers."""

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from hypothesis import given
from hypothesis import strategies as st
from worker_instances import airflow_worker_instances

HOST = {"host": "w1", "concurrency": 16}
NAMES = st.from_regex(r"[A-Za-z0-9_.-]{1,20}", fullmatch=True)
WORKERS = st.lists(
    st.fixed_dictionaries({"name": NAMES, "queues": st.lists(NAMES, min_size=1, max_size=4)}),
    max_size=5,
    unique_by=lambda worker: worker["name"],
)


def test_one_worker() -> None:
    assert airflow_worker_instances([{"name": "default", "queues": ["default"]}], HOST) == [
        {
            "name": "default",
            "unit": "airflow-worker@default",
            "node": "default@w1",
            "arguments": " --queues default --celery-hostname default@w1 --concurrency 16",
            "unit_options": {},
        }
    ]


@pytest.mark.parametrize(
    ("worker", "slots"),
    [
        pytest.param({}, "--concurrency 16", id="computed"),
        pytest.param({"concurrency": 4}, "--concurrency 4", id="given"),
        pytest.param({"autoscale": {"min": 2, "max": 8}}, "--autoscale 8,2", id="autoscale, upper bound first"),
        pytest.param({"autoscale": {"min": 0, "max": 1}}, "--autoscale 1,0", id="autoscale from zero"),
    ],
)
def test_slots(worker: dict[str, Any], slots: str) -> None:
    (instance,) = airflow_worker_instances([{"name": "a", "queues": ["x", "y"], **worker}], HOST)
    assert instance["arguments"] == f" --queues x,y --celery-hostname a@w1 {slots}"


def test_unit_options_are_handed_on() -> None:
    worker = {"name": "jit", "queues": ["jit"], "unit_options": {"MemoryDenyWriteExecute": "no"}}
    assert airflow_worker_instances([worker], HOST)[0]["unit_options"] == {"MemoryDenyWriteExecute": "no"}


def test_no_worker() -> None:
    assert airflow_worker_instances([], HOST) == []


@pytest.mark.parametrize("worker", [{}, {"name": "a"}, {"queues": ["a"]}, {"name": "", "queues": ["a"]}])
def test_worker_without_name_or_queues_is_refused(worker: dict[str, Any]) -> None:
    with pytest.raises(AnsibleFilterError, match="site_workers: every worker needs a name and queues"):
        airflow_worker_instances([{"name": "good", "queues": ["q"]}, worker], HOST)


@given(WORKERS)
def test_exactly_one_worker_of_a_host_serves_logs(workers: list[dict[str, Any]]) -> None:
    arguments = [instance["arguments"] for instance in airflow_worker_instances(workers, HOST)]
    assert [argument.endswith(" --skip-serve-logs") for argument in arguments] == [
        index > 0 for index in range(len(workers))
    ]


@given(WORKERS)
def test_names_of_units_and_nodes_differ(workers: list[dict[str, Any]]) -> None:
    instances = airflow_worker_instances(workers, HOST)
    for key in ("unit", "node"):
        assert len({instance[key] for instance in instances}) == len(workers)
