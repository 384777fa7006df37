"""Who talks to whom, by the model of the site: as the topology has it, which it is to replace."""

from typing import Any

import pytest
from airstrip_registry import registry
from airstrip_topology import OPTIONS
from ansible_collections.airstrip.core.plugins.module_utils.site_model import Site, SiteError
from ansible_collections.airstrip.core.plugins.module_utils.site_views import fact, reach
from firewall import airflow_firewall_rules
from hypothesis import given, settings
from hypothesis import strategies as st
from topology import (
    COMPONENTS,
    airflow_topology,
    airflow_topology_address,
    airflow_topology_clients,
    airflow_topology_listen,
)

GROUPS = {name: entry.group for name, entry in registry().items()}
VARIABLES: dict[str, Any] = {
    "airflow_version": "3.3.2",
    "airflow_executor": "CeleryExecutor",
    "airflow_tls_enabled": True,
    "airflow_virtual_address": "",
    "airflow_database_port": 5432,
    "airflow_broker_port": 6379,
    "airflow_api_server_port": 8080,
    "haproxy_http_port": 80,
    "haproxy_https_port": 443,
    "haproxy_execution_port": 8443,
    "airflow_worker_log_port": 8793,
    "airflow_triggerer_log_port": 8794,
}
HOSTS = [f"host-{number}" for number in range(6)]
ADDRESSES = {host: f"192.0.2.{number}" for number, host in enumerate(HOSTS, 1)}
Row = tuple[str | int | None, ...]


def site(placed: dict[str, list[str]], **variables: Any) -> Site:
    """Return the model of a site with these hosts by component."""
    groups = {GROUPS[component]: hosts for component, hosts in placed.items()}
    return Site(registry(), groups, VARIABLES | variables, ADDRESSES)


def by_model(model: Site) -> tuple[list[Row], list[Row]]:
    """Return connections and openings as the topology has them."""
    logins = {name: (login["name"], login["user"]) for name, login in OPTIONS["databases"].items()}
    connections: list[Row] = [
        (
            way.source,
            way.source_address,
            way.destination,
            way.destination_address,
            way.port,
            way.service,
            # For the topology, keepalived is a part of the load balancer.
            way.component.replace("keepalived", "load_balancer"),
            *logins.get(way.login, (None, None)),
        )
        for way in model.connections()
    ]
    openings: list[Row] = [
        (opening.destination, opening.destination_address, opening.port, opening.service)
        for opening in model.openings()
    ]
    return connections, openings


@st.composite
def sites(draw: st.DrawFn) -> tuple[Site, dict[str, Any]]:
    """Return the model and the topology of a random site."""
    placed = {name: draw(st.lists(st.sampled_from(HOSTS), max_size=4, unique=True)) for name in COMPONENTS}
    executor = draw(st.sampled_from(["CeleryExecutor", "LocalExecutor", "LocalExecutor,CeleryExecutor"]))
    virtual_address = draw(st.sampled_from(["", "192.0.2.100"]))
    model = site(placed, airflow_executor=executor, airflow_virtual_address=virtual_address)
    # The workers of a site without Celery are none, while the topology tells of whatever is in the group.
    if "CeleryExecutor" not in executor:
        placed["worker"] = []
    options = OPTIONS | {"executor": executor, "virtual_address": virtual_address}
    return model, airflow_topology(placed, ADDRESSES, options)


@settings(max_examples=120)
@given(sites())
def test_connections_are_those_of_the_topology(both: tuple[Site, dict[str, Any]]) -> None:
    model, expected = both
    connections, openings = by_model(model)
    assert sorted(connections, key=str) == sorted((tuple(row.values()) for row in expected["connections"]), key=str)
    assert sorted(openings, key=str) == sorted((tuple(row.values()) for row in expected["public"]), key=str)


@settings(max_examples=60)
@given(sites())
def test_hosts_know_what_the_filters_of_the_topology_say(both: tuple[Site, dict[str, Any]]) -> None:
    model, topology = both
    found = fact(model)["hosts"]
    assert found.keys() == topology["hosts"].keys()
    for host, here in found.items():
        assert here["address"] == topology["hosts"][host]["address"]
        assert {*here["components"]} - {"keepalived"} == {*topology["hosts"][host]["components"]}
        assert here["rules"] == airflow_firewall_rules(topology, host)
        for service, addresses in here["listen"].items():
            assert addresses == airflow_topology_listen(topology, host, service)
        for service, rows in here["clients"].items():
            expected = airflow_topology_clients(topology, host, service)
            assert [row["address"] for row in rows] == [row["address"] for row in expected]
            users = [OPTIONS["databases"][row["login"]]["user"] if row["login"] else None for row in rows]
            assert {*users} == {row["user"] for row in expected}


@settings(max_examples=60)
@given(sites(), st.sampled_from(HOSTS))
def test_a_service_is_reached_where_its_component_is(both: tuple[Site, dict[str, Any]], host: str) -> None:
    model, topology = both
    found = reach(model, host)
    for service, component in (("postgresql", "postgresql"), ("redis", "redis"), ("http", "load_balancer")):
        if topology["components"][component]:
            assert found[service]["address"] == airflow_topology_address(topology, host, component)
        else:
            assert service not in found
    balanced = bool(topology["components"]["load_balancer"])
    if balanced or topology["components"]["api_server"]:
        component, port = ("load_balancer", 8443) if balanced else ("api_server", 8080)
        address = airflow_topology_address(topology, host, component)
        assert found["execution_api"] == {"address": address, "port": port}


def test_a_component_that_is_not_part_of_the_site_has_no_hosts() -> None:
    assert "keepalived" not in site({"load_balancer": HOSTS[:2]}).placed
    assert "worker" not in site({"worker": HOSTS[:2]}, airflow_executor="LocalExecutor").placed


def test_one_host_is_in_a_group_once() -> None:
    assert site({"worker": ["host-1", "host-0", "host-1"]}).placed["worker"] == ["host-1", "host-0"]


@pytest.mark.parametrize("port", [0, 65536, "http", None, True, -1])
def test_a_port_that_is_none_is_named(port: Any) -> None:
    model = site({"api_server": HOSTS[:1]}, airflow_api_server_port=port)
    with pytest.raises(SiteError, match=f"airflow_api_server_port must be a port between 1 and 65535, found {port!r}"):
        model.openings()


def test_a_host_without_an_address_is_named() -> None:
    groups = {"airflow_worker": ["lost"], "redis": ["host-0"]}
    model = Site(registry(), groups, VARIABLES, ADDRESSES)
    with pytest.raises(SiteError, match=r"lost \(worker\) has no address; set airflow_host_address"):
        model.connections()
