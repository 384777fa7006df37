"""Who talks to whom: the topology filters."""

from typing import Any

import pytest
from airstrip_topology import OPTIONS
from ansible.errors import AnsibleFilterError
from hypothesis import given
from hypothesis import strategies as st
from topology import (
    COMPONENTS,
    SERVICES,
    airflow_topology,
    airflow_topology_address,
    airflow_topology_clients,
    airflow_topology_listen,
)

SITE: dict[str, list[str]] = {
    "postgresql": ["store"],
    "redis": ["store"],
    "api_server": ["control"],
    "scheduler": ["control"],
    "dag_processor": ["control"],
    "triggerer": ["control"],
    "worker": ["worker2", "worker1"],
}
ADDRESSES = {"store": "10.0.0.1", "control": "10.0.0.2", "worker1": "10.0.0.11", "worker2": "10.0.0.12"}
LOCAL = {component: ["vm"] for component in COMPONENTS if component not in ("redis", "load_balancer", "worker")}
BALANCED = SITE | {"load_balancer": ["edge1", "edge2"], "api_server": ["control", "edge1"]}
BALANCED_ADDRESSES = ADDRESSES | {"edge1": "10.0.0.21", "edge2": "10.0.0.22"}


def _edges(topology: dict[str, Any]) -> set[tuple[str, str, str, str, int, str | None]]:
    return {
        (row["component"], row["source"], row["destination"], row["service"], row["port"], row["database"])
        for row in topology["connections"]
    }


def test_distributed_celery_site_has_exactly_these_connections() -> None:
    assert _edges(airflow_topology(SITE, ADDRESSES, OPTIONS)) == {
        ("api_server", "control", "store", "postgresql", 5432, "airflow"),
        ("scheduler", "control", "store", "postgresql", 5432, "airflow"),
        ("dag_processor", "control", "store", "postgresql", 5432, "airflow"),
        ("triggerer", "control", "store", "postgresql", 5432, "airflow"),
        ("scheduler", "control", "store", "postgresql", 5432, "celery"),
        ("worker", "worker1", "store", "postgresql", 5432, "celery"),
        ("worker", "worker2", "store", "postgresql", 5432, "celery"),
        ("scheduler", "control", "store", "redis", 6379, None),
        ("worker", "worker1", "store", "redis", 6379, None),
        ("worker", "worker2", "store", "redis", 6379, None),
        ("worker", "worker1", "control", "execution_api", 8080, None),
        ("worker", "worker2", "control", "execution_api", 8080, None),
        ("api_server", "control", "worker1", "worker_logs", 8793, None),
        ("api_server", "control", "worker2", "worker_logs", 8793, None),
        ("api_server", "control", "control", "triggerer_logs", 8794, None),
    }


def test_with_load_balancers_tasks_reach_the_api_through_them() -> None:
    topology = airflow_topology(BALANCED, BALANCED_ADDRESSES, OPTIONS)
    api = {edge for edge in _edges(topology) if edge[3] in ("api", "execution_api", "vrrp")}
    assert api == {
        ("load_balancer", "edge1", "control", "api", 8080, None),
        ("load_balancer", "edge1", "edge1", "api", 8080, None),
        ("load_balancer", "edge2", "control", "api", 8080, None),
        ("load_balancer", "edge2", "edge1", "api", 8080, None),
        ("worker", "worker1", "edge1", "execution_api", 8443, None),
        ("worker", "worker1", "edge2", "execution_api", 8443, None),
        ("worker", "worker2", "edge1", "execution_api", 8443, None),
        ("worker", "worker2", "edge2", "execution_api", 8443, None),
    }
    assert topology["virtual_address"] == ""


def test_load_balancers_with_a_virtual_address_talk_to_each_other() -> None:
    topology = airflow_topology(BALANCED, BALANCED_ADDRESSES, OPTIONS | {"virtual_address": "10.0.0.100"})
    assert {edge[1:5] for edge in _edges(topology) if edge[3] == "vrrp"} == {
        ("edge1", "edge2", "vrrp", 0),
        ("edge2", "edge1", "vrrp", 0),
    }
    assert topology["virtual_address"] == "10.0.0.100"


def _public(topology: dict[str, Any]) -> list[tuple[str, str, str, int]]:
    return [(row["destination"], row["destination_address"], row["service"], row["port"]) for row in topology["public"]]


def test_everybody_reaches_the_load_balancers_only() -> None:
    assert _public(airflow_topology(BALANCED, BALANCED_ADDRESSES, OPTIONS)) == [
        ("edge1", "10.0.0.21", "http", 80),
        ("edge1", "10.0.0.21", "https", 443),
        ("edge2", "10.0.0.22", "http", 80),
        ("edge2", "10.0.0.22", "https", 443),
    ]


def test_everybody_reaches_the_api_servers_without_load_balancers() -> None:
    assert _public(airflow_topology(SITE, ADDRESSES, OPTIONS)) == [("control", "10.0.0.2", "api", 8080)]


def test_local_executor_makes_the_scheduler_run_tasks_and_needs_no_broker() -> None:
    topology = airflow_topology(LOCAL, {"vm": "10.0.0.1"}, OPTIONS | {"executor": "LocalExecutor"})
    assert _edges(topology) == {
        ("api_server", "vm", "vm", "postgresql", 5432, "airflow"),
        ("scheduler", "vm", "vm", "postgresql", 5432, "airflow"),
        ("dag_processor", "vm", "vm", "postgresql", 5432, "airflow"),
        ("triggerer", "vm", "vm", "postgresql", 5432, "airflow"),
        ("scheduler", "vm", "vm", "execution_api", 8080, None),
        ("api_server", "vm", "vm", "worker_logs", 8793, None),
        ("api_server", "vm", "vm", "triggerer_logs", 8794, None),
    }
    assert {row["source_address"] for row in topology["connections"]} == {"127.0.0.1"}
    assert {row["destination_address"] for row in topology["connections"]} == {"127.0.0.1"}


def test_executor_list_takes_both_sets_of_connections() -> None:
    topology = airflow_topology(SITE, ADDRESSES, OPTIONS | {"executor": "LocalExecutor,CeleryExecutor:fast"})
    assert ("scheduler", "control", "control", "execution_api", 8080, None) in _edges(topology)
    assert ("worker", "worker1", "store", "redis", 6379, None) in _edges(topology)


def test_connection_carries_addresses_and_login() -> None:
    topology = airflow_topology(SITE, ADDRESSES, OPTIONS)
    (row,) = [row for row in topology["connections"] if row["source"] == "worker1" and row["service"] == "postgresql"]
    assert row == {
        "source": "worker1",
        "source_address": "10.0.0.11",
        "destination": "store",
        "destination_address": "10.0.0.1",
        "port": 5432,
        "service": "postgresql",
        "component": "worker",
        "database": "celery",
        "user": "celery_rw",
    }


def test_hosts_list_their_components_in_the_fixed_order() -> None:
    topology = airflow_topology({"worker": ["vm"], "postgresql": ["vm"], "api_server": ["vm"]}, {"vm": "::1"}, OPTIONS)
    assert topology["hosts"] == {"vm": {"address": "::1", "components": ["postgresql", "api_server", "worker"]}}
    assert topology["components"]["scheduler"] == []


@pytest.mark.parametrize("service", ["postgresql", "redis"])
def test_external_service_has_no_connections_and_needs_no_login(service: str) -> None:
    topology = airflow_topology(SITE | {service: []}, ADDRESSES, OPTIONS)
    assert service not in {row["service"] for row in topology["connections"]}


def test_address_is_loopback_at_home_and_the_first_host_elsewhere() -> None:
    topology = airflow_topology(SITE, ADDRESSES, OPTIONS)
    assert airflow_topology_address(topology, "control", "api_server") == "127.0.0.1"
    assert airflow_topology_address(topology, "worker1", "api_server") == "10.0.0.2"
    assert airflow_topology_address(topology, "monitor", "worker") == "10.0.0.12"


def test_clients_are_what_pg_hba_needs() -> None:
    topology = airflow_topology(SITE, ADDRESSES, OPTIONS)
    clients = airflow_topology_clients(topology, "store", "postgresql")
    assert clients[0] == {"address": "10.0.0.11", "database": "celery", "user": "celery_rw", "component": "worker"}
    assert len(clients) == 7
    assert airflow_topology_clients(topology, "control", "postgresql") == []


def test_listen_adds_the_own_address_only_for_remote_clients() -> None:
    topology = airflow_topology(SITE, ADDRESSES, OPTIONS)
    assert airflow_topology_listen(topology, "store", "redis") == ["127.0.0.1", "10.0.0.1"]
    assert airflow_topology_listen(topology, "control", "triggerer_logs") == ["127.0.0.1"]
    assert airflow_topology_listen(topology, "control", "redis") == ["127.0.0.1"]


@pytest.mark.parametrize(
    ("component_hosts", "addresses", "options", "message"),
    [
        (["a"], {}, OPTIONS, "component_hosts must be a mapping, found list"),
        ({"webserver": ["a"]}, {"a": "10.0.0.1"}, OPTIONS, "unknown component 'webserver'"),
        ({"worker": "a"}, {"a": "10.0.0.1"}, OPTIONS, r"component_hosts\['worker'\] must be a list"),
        ({"worker": ["a"]}, {}, OPTIONS, r"no address for host 'a' \(worker\)"),
        ({"worker": ["a"]}, {"a": None}, OPTIONS, "no address for host 'a'"),
        (SITE, ADDRESSES, OPTIONS | {"executor": ""}, "options.executor must name"),
        (SITE, ADDRESSES, OPTIONS | {"ports": None}, "options.ports must be a mapping"),
        (SITE, ADDRESSES, OPTIONS | {"ports": {"postgresql": 70000}}, "options.ports.postgresql .* found 70000"),
        (SITE, ADDRESSES, OPTIONS | {"ports": {"postgresql": "x"}}, "options.ports.postgresql"),
        (SITE, ADDRESSES, OPTIONS | {"ports": {"postgresql": True}}, "options.ports.postgresql"),
        (SITE, ADDRESSES, OPTIONS | {"databases": {}}, "options.databases.metadata must be a mapping"),
        (SITE, ADDRESSES, OPTIONS | {"databases": {"metadata": {"name": "a"}}}, "needs both 'name' and 'user'"),
    ],
)
def test_bad_input_names_the_place(component_hosts: Any, addresses: Any, options: Any, message: str) -> None:
    with pytest.raises(AnsibleFilterError, match=message):
        airflow_topology(component_hosts, addresses, options)


def test_readers_of_the_topology_refuse_unknown_names() -> None:
    topology = airflow_topology(LOCAL, {"vm": "10.0.0.1"}, OPTIONS)
    with pytest.raises(AnsibleFilterError, match="no host runs redis"):
        airflow_topology_address(topology, "vm", "redis")
    with pytest.raises(AnsibleFilterError, match="unknown component 'broker'"):
        airflow_topology_address(topology, "vm", "broker")
    with pytest.raises(AnsibleFilterError, match="unknown service 'smtp'"):
        airflow_topology_clients(topology, "vm", "smtp")
    with pytest.raises(AnsibleFilterError, match="host 'other' runs no component"):
        airflow_topology_listen(topology, "other", "redis")
    with pytest.raises(AnsibleFilterError, match="the topology has no 'connections'"):
        airflow_topology_listen({"hosts": {}, "components": {}}, "vm", "redis")


HOSTS = [f"h{number}" for number in range(6)]
sites = st.fixed_dictionaries({}, optional={name: st.lists(st.sampled_from(HOSTS), max_size=4) for name in COMPONENTS})
executors = st.sampled_from(["CeleryExecutor", "LocalExecutor", "LocalExecutor,CeleryExecutor", "my.Executor"])


@given(sites, executors)
def test_properties_of_any_site(site: dict[str, list[str]], executor: str) -> None:
    addresses = {host: f"10.0.0.{number + 1}" for number, host in enumerate(HOSTS)}
    topology = airflow_topology(site, addresses, OPTIONS | {"executor": executor})
    connections = topology["connections"]
    assert len({tuple(row.values()) for row in connections}) == len(connections)
    for row in connections:
        assert row["source"] in site[row["component"]]
        assert (row["database"] is None) == (row["service"] != "postgresql") == (row["user"] is None)
        assert (row["source"] == row["destination"]) == (row["destination_address"] == "127.0.0.1")
        assert not (row["component"] == "worker" and row["database"] == "airflow")
        client = {key: row[key] for key in ("database", "user", "component")} | {"address": row["source_address"]}
        assert client in airflow_topology_clients(topology, row["destination"], row["service"])
    for host in topology["hosts"]:
        for service in SERVICES:
            remote = any(
                row["destination"] == host != row["source"] and row["service"] == service for row in connections
            )
            assert (addresses[host] in airflow_topology_listen(topology, host, service)) == remote


@given(sites, st.randoms())
def test_order_of_hosts_does_not_change_the_connections(site: dict[str, list[str]], random: Any) -> None:
    addresses = {host: f"10.0.0.{number + 1}" for number, host in enumerate(HOSTS)}
    shuffled = {component: random.sample(hosts, len(hosts)) for component, hosts in site.items()}
    first = airflow_topology(site, addresses, OPTIONS)
    second = airflow_topology(shuffled, addresses, OPTIONS)
    assert first["connections"] == second["connections"]
    assert first["hosts"] == second["hosts"]
