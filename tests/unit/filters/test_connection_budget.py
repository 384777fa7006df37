"""The sum of all connections to PostgreSQL."""

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from connection_budget import airflow_connection_budget
from hypothesis import given
from hypothesis import strategies as st

SITE = [
    {"component": "api_server", "processes": 2},
    {"component": "scheduler", "processes": 1},
    {"component": "dag_processor", "processes": 1},
    {"component": "triggerer", "processes": 1},
    {"component": "worker", "processes": 1, "concurrency": 16},
]


def test_one_of_each_with_defaults() -> None:
    assert airflow_connection_budget(SITE, {}) == {
        "metadata": 2 * 30 + 16 + 15 + 15,
        "results": 17 + 2,
        "reserved": 20,
        "extra": 0,
        "total": 145,
        "max_connections": 150,
        "by_component": {"api_server": 60, "dag_processor": 15, "scheduler": 18, "triggerer": 15, "worker": 17},
    }


def test_without_workers_there_is_no_results_database() -> None:
    budget = airflow_connection_budget(SITE[:-1], {"sync_parallelism": 7})
    assert budget["results"] == 0
    assert budget["by_component"]["scheduler"] == 16


def test_settings_count() -> None:
    settings = {"pool_size": 2, "max_overflow": 3, "reserved": 4, "extra": "6", "sync_parallelism": 3}
    budget = airflow_connection_budget(SITE, settings)
    assert budget["metadata"] == 2 * 10 + 6 + 5 + 5
    assert budget["results"] == 17 + 4
    assert budget["total"] == 36 + 21 + 4 + 6
    assert budget["max_connections"] == 100


def test_an_empty_site_keeps_postgresqls_default() -> None:
    assert airflow_connection_budget([], {})["max_connections"] == 100


@pytest.mark.parametrize(
    ("components", "settings", "message"),
    [
        ("scheduler", {}, "the components must be a list, found str"),
        (["scheduler"], {}, "each component must be a mapping, found str"),
        ([{"component": "redis"}], {}, "unknown component 'redis'; known: api_server"),
        ([{"component": "worker"}], {}, "concurrency of a worker must be a whole number, 0 or more, not None"),
        ([{"component": "scheduler", "processes": -1}], {}, "processes must be a whole number, 0 or more, not -1"),
        ([{"component": "scheduler", "processes": True}], {}, "processes must be a whole number"),
        ([], {"max_overflow": -1}, "max_overflow must be a whole number, 0 or more, not -1"),
        ([], {"pool": 5}, "unknown setting 'pool'; known are pool_size"),
        ([], None, "the settings must be a mapping, found NoneType"),
    ],
)
def test_bad_input(components: Any, settings: Any, message: str) -> None:
    with pytest.raises(AnsibleFilterError, match=message):
        airflow_connection_budget(components, settings)


entries = st.fixed_dictionaries(
    {
        "component": st.sampled_from(["api_server", "scheduler", "dag_processor", "triggerer", "worker"]),
        "processes": st.integers(0, 20),
        "concurrency": st.integers(1, 64),
    }
)


@given(st.lists(entries, max_size=8), entries)
def test_the_sum_fits_and_more_processes_never_need_fewer(site: list[dict[str, Any]], more: dict[str, Any]) -> None:
    budget = airflow_connection_budget(site, {})
    assert budget["total"] == budget["metadata"] + budget["results"] + budget["reserved"] + budget["extra"]
    assert budget["metadata"] + budget["results"] == sum(budget["by_component"].values())
    assert budget["total"] <= budget["max_connections"]
    assert budget["max_connections"] % 10 == 0
    larger = airflow_connection_budget([*site, more], {})
    assert larger["total"] >= budget["total"]
    assert airflow_connection_budget(site[::-1], {}) == budget
