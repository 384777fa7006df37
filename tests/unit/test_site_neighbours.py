"""Whom a host that joins or leaves concerns: by the real registry, on sites of some shapes."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from airstrip_tree import PROJECT
from ansible_collections.airstrip.core.plugins.module_utils.site_neighbours import is_server, neighbours
from ansible_collections.airstrip.core.plugins.module_utils.site_variables import read_directory

REGISTRY, _ = read_directory(Path(PROJECT / "registry"))
WORKERS = [f"worker-{number}" for number in range(1, 101)]
CONTROL = ["control-1", "control-2"]
AIRFLOW = ("airflow_api_server", "airflow_scheduler", "airflow_dag_processor", "airflow_triggerer")


def groups(workers: Sequence[str] = WORKERS, **more: Sequence[str]) -> Mapping[str, list[str]]:
    """Return the groups of a site with two control hosts, a data host, and workers."""
    found = {
        "postgresql": ["data-1"],
        "redis": ["data-1"],
        "load_balancer": CONTROL,
        "airflow_worker": list(workers),
        **dict.fromkeys(AIRFLOW, CONTROL),
        **{name: list(hosts) for name, hosts in more.items()},
    }
    everybody = list(dict.fromkeys(host for hosts in found.values() for host in hosts))
    return {**found, "airflow": [*CONTROL, *workers], "all": everybody, "ungrouped": []}


def test_a_worker_concerns_stores_and_control_hosts_whatever_the_number_of_workers() -> None:
    assert neighbours(REGISTRY, groups(), ["worker-100"]) == ["data-1", *CONTROL]


def test_with_monitoring_it_concerns_the_monitoring_host() -> None:
    assert neighbours(REGISTRY, groups(monitoring=["monitor-1"]), ["worker-3"]) == ["data-1", *CONTROL, "monitor-1"]


def test_several_new_hosts_are_not_their_own_neighbours() -> None:
    assert neighbours(REGISTRY, groups(), ["worker-1", "control-2"])[:2] == ["data-1", "control-1"]


def test_an_api_server_concerns_all_whose_logs_it_shows() -> None:
    assert set(WORKERS) < set(neighbours(REGISTRY, groups(), ["control-2"]))


@pytest.mark.parametrize("monitoring", [(), ("monitor-1",)])
def test_a_retired_host_concerns_those_whom_a_worker_does(monitoring: Sequence[str]) -> None:
    own = groups(WORKERS[:-1], retired=["worker-100"], monitoring=monitoring)
    assert neighbours(REGISTRY, own, ["worker-100"]) == ["data-1", *CONTROL, *monitoring]


def test_a_site_on_one_host_has_no_neighbours() -> None:
    hosts = {name: ["node-1"] for name in ("postgresql", "redis", "load_balancer", "airflow_worker", *AIRFLOW)}
    assert neighbours(REGISTRY, {**hosts, "airflow": ["node-1"], "all": ["node-1"], "ungrouped": []}, ["node-1"]) == []


def test_what_leaves_by_a_run_for_all() -> None:
    found = {name for name, entry in REGISTRY.items() if is_server(entry)}
    assert {"postgresql", "redis", "load_balancer", "api_server", "prometheus"} <= found
    assert found.isdisjoint({"worker", "scheduler", "dag_processor", "triggerer", "firewall", "node_exporter"})
