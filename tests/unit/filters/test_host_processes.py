"""The processes of a host that open database connections."""

from typing import Any

import pytest
from connection_budget import airflow_connection_budget
from host_processes import airflow_host_processes
from hypothesis import given
from hypothesis import strategies as st

COMPONENTS = ["postgresql", "redis", "api_server", "scheduler", "dag_processor", "triggerer", "worker"]


def host(**other: Any) -> dict[str, Any]:
    return {"components": COMPONENTS, "api_server_workers": 2, "workers": [{"name": "a"}], "concurrency": 16, **other}


def test_whole_site_on_one_host() -> None:
    assert airflow_host_processes(host()) == [
        {"component": "api_server", "processes": 2},
        {"component": "scheduler", "processes": 1},
        {"component": "dag_processor", "processes": 1},
        {"component": "triggerer", "processes": 1},
        {"component": "worker", "processes": 1, "concurrency": 16},
    ]


@pytest.mark.parametrize(
    ("worker", "slots"),
    [({}, 16), ({"concurrency": 3}, 3), ({"autoscale": {"min": 1, "max": 9}}, 9), ({"concurrency": "5"}, 5)],
)
def test_slots_of_a_worker(worker: dict[str, Any], slots: int) -> None:
    found = airflow_host_processes(host(components=["worker"], workers=[worker, {}]))
    assert [entry["concurrency"] for entry in found] == [slots, 16]


def test_host_without_airflow_has_none() -> None:
    assert airflow_host_processes(host(components=["postgresql", "redis"])) == []


def test_number_of_workers_may_be_a_string() -> None:
    assert airflow_host_processes(host(components=["api_server"], api_server_workers="4"))[0]["processes"] == 4


@given(
    st.lists(st.sampled_from(COMPONENTS), unique=True),
    st.integers(min_value=1, max_value=8),
    st.lists(st.fixed_dictionaries({"concurrency": st.integers(min_value=1, max_value=64)}), max_size=4),
)
def test_budget_takes_every_answer(components: list[str], api_server_workers: int, workers: list[Any]) -> None:
    found = airflow_host_processes(host(components=components, api_server_workers=api_server_workers, workers=workers))
    assert airflow_connection_budget(found, {})["total"] >= 20
    expected = len(set(components) - {"postgresql", "redis", "worker"}) + ("worker" in components) * len(workers)
    assert len(found) == expected
