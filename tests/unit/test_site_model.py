"""Who talks to whom, by the model of the site."""

from typing import Any

import pytest
from airstrip_imagined import ALONE, BALANCED, PLACED, imagined, inventory, sites
from airstrip_registry import declared, entries
from ansible_collections.airstrip.core.plugins.module_utils.site_model import Endpoint, Site
from ansible_collections.airstrip.core.plugins.module_utils.site_registry import read_registry
from ansible_collections.airstrip.core.plugins.module_utils.site_variables import read_variables
from hypothesis import given, settings

Way = tuple[str, str, str, str, int, str]


def ways(site: Site, *services: str) -> set[Way]:
    return {
        (way.component, way.source, way.destination, way.service, way.port, way.login)
        for way in site.connections
        if not services or way.service in services
    }


def test_a_site_with_celery_has_exactly_these_connections() -> None:
    assert ways(imagined(PLACED)) == {
        ("api_server", "control", "store", "postgresql", 5432, "metadata"),
        ("scheduler", "control", "store", "postgresql", 5432, "metadata"),
        ("dag_processor", "control", "store", "postgresql", 5432, "metadata"),
        ("triggerer", "control", "store", "postgresql", 5432, "metadata"),
        ("scheduler", "control", "store", "postgresql", 5432, "results_view"),
        ("worker", "worker1", "store", "postgresql", 5432, "results"),
        ("worker", "worker2", "store", "postgresql", 5432, "results"),
        ("scheduler", "control", "store", "redis", 6379, ""),
        ("worker", "worker1", "store", "redis", 6379, ""),
        ("worker", "worker2", "store", "redis", 6379, ""),
        ("worker", "worker1", "control", "execution_api", 8080, ""),
        ("worker", "worker2", "control", "execution_api", 8080, ""),
        ("api_server", "control", "worker1", "worker_logs", 8793, ""),
        ("api_server", "control", "worker2", "worker_logs", 8793, ""),
        ("api_server", "control", "control", "triggerer_logs", 8794, ""),
    }


def test_with_load_balancers_tasks_reach_the_api_through_them() -> None:
    assert ways(imagined(BALANCED), "api", "execution_api", "vrrp") == {
        ("load_balancer", "edge1", "control", "api", 8080, ""),
        ("load_balancer", "edge1", "edge1", "api", 8080, ""),
        ("load_balancer", "edge2", "control", "api", 8080, ""),
        ("load_balancer", "edge2", "edge1", "api", 8080, ""),
        ("worker", "worker1", "edge1", "execution_api", 8443, ""),
        ("worker", "worker1", "edge2", "execution_api", 8443, ""),
        ("worker", "worker2", "edge1", "execution_api", 8443, ""),
        ("worker", "worker2", "edge2", "execution_api", 8443, ""),
    }


def test_load_balancers_with_a_virtual_address_talk_to_each_other() -> None:
    site = imagined(BALANCED, virtual_address="10.0.0.100")
    assert ways(site, "vrrp") == {
        ("keepalived", "edge1", "edge2", "vrrp", 0, ""),
        ("keepalived", "edge2", "edge1", "vrrp", 0, ""),
    }
    # Whoever holds it has it as well.
    assert {host: site.reach(host, "https") for host in ("control", "edge1")} == {
        host: Endpoint("10.0.0.100", 443, tls=True) for host in ("control", "edge1")
    }


def public(site: Site) -> list[tuple[str, str, str, int]]:
    return [(row.destination, row.destination_address, row.service, row.port) for row in site.openings]


def test_everybody_reaches_the_load_balancers_only() -> None:
    found = public(imagined(BALANCED))
    assert [row[0::2] for row in found] == [
        ("edge1", "http"),
        ("edge1", "https"),
        ("edge2", "http"),
        ("edge2", "https"),
    ]
    assert public(imagined(PLACED)) == [("control", "10.0.0.2", "api", 8080)]


def test_with_the_local_executor_the_scheduler_runs_tasks_and_needs_no_broker() -> None:
    site = imagined(ALONE, executor="LocalExecutor")
    assert ways(site) == {
        ("api_server", "vm", "vm", "postgresql", 5432, "metadata"),
        ("scheduler", "vm", "vm", "postgresql", 5432, "metadata"),
        ("dag_processor", "vm", "vm", "postgresql", 5432, "metadata"),
        ("triggerer", "vm", "vm", "postgresql", 5432, "metadata"),
        ("scheduler", "vm", "vm", "execution_api", 8080, ""),
        ("api_server", "vm", "vm", "worker_logs", 8793, ""),
        ("api_server", "vm", "vm", "triggerer_logs", 8794, ""),
    }
    addresses = {address for way in site.connections for address in (way.source_address, way.destination_address)}
    assert addresses == {"127.0.0.1"}


def test_a_list_of_executors_takes_both_sets_of_connections() -> None:
    found = ways(imagined(PLACED, executor="LocalExecutor,CeleryExecutor:fast"))
    assert ("scheduler", "control", "control", "execution_api", 8080, "") in found
    assert ("worker", "worker1", "store", "redis", 6379, "") in found


def test_a_component_that_is_not_part_of_the_site_has_no_hosts() -> None:
    assert "keepalived" not in imagined(BALANCED).placed
    assert "worker" not in imagined(PLACED, executor="LocalExecutor").placed


def test_one_host_is_in_a_group_once() -> None:
    site = imagined({"airflow_worker": ["b", "a", "b"]})
    assert site.placed["worker"] == ["b", "a"]


@pytest.mark.parametrize(
    ("variables", "endpoint"),
    [
        ({"database_host": "db.example.com"}, Endpoint("db.example.com", 5432, tls=True, external=True)),
        ({"database_host": "2001:db8::1"}, Endpoint("2001:db8::1", 5432, tls=True, external=True)),
        ({"database_host": "127.0.1.1"}, Endpoint("127.0.1.1", 5432, tls=False, external=True)),
        ({"database_host": "localhost"}, Endpoint("localhost", 5432, tls=False, external=True)),
        ({"database_host": "localhost.example.com"}, Endpoint("localhost.example.com", 5432, tls=True, external=True)),
        (
            {"database_host": "db", "plain_database_allowed": "true", "database_port": "5433"},
            Endpoint("db", 5433, tls=False, external=True),
        ),
        ({}, Endpoint("", 5432, tls=False, external=True)),
    ],
)
def test_what_is_outside_has_no_connections_and_is_verified(variables: dict[str, Any], endpoint: Endpoint) -> None:
    site = imagined(PLACED | {"postgresql": []}, **variables)
    assert site.reach("control", "postgresql") == endpoint
    assert "postgresql" not in {way.service for way in site.connections}


def test_what_is_inside_is_reached_where_it_stands() -> None:
    site = imagined(PLACED)
    assert site.reach("control", "postgresql") == Endpoint("10.0.0.1", 5432, tls=True)
    assert site.reach("store", "postgresql") == Endpoint("127.0.0.1", 5432, tls=True)
    assert imagined(PLACED, tls_enabled=False).reach("control", "redis") == Endpoint("10.0.0.1", 6379, tls=False)
    assert imagined(PLACED).reach("control", "https") is None


@settings(max_examples=100)
@given(sites())
def test_ways_lead_from_who_needs_to_who_offers(site: Site) -> None:
    addresses = {name: host.address for name, host in site.hosts.items()}
    for way in site.connections:
        entry = site.components[way.component]
        assert way.source in site.placed[way.component]
        assert way.service in {need.service for need in entry.needs}
        assert any(way.destination in site.placed[provider.name] for provider, _ in site.providers(way.service))
        local = way.source == way.destination
        ends = ("127.0.0.1",) * 2 if local else (addresses[way.source], addresses[way.destination])
        assert (way.source_address, way.destination_address) == ends
    # Tasks run beside nothing that has the metadata database.
    assert not [way for way in site.connections if way.component == "worker" and way.login == "metadata"]


def with_entries(placed: dict[str, list[str]], more: dict[str, Any]) -> Site:
    port = {"type": "port", "default": 9500, "description": "A port."}
    variables = declared() | read_variables({"site_x_port": port, "site_y_port": port | {"default": 9501}})
    return inventory(placed).site(read_registry(entries() | more, variables), variables)


LEADING = {
    "group": "x", "role": "x", "tier": "database", "endpoint": "leader", "certificate": "x_certificate",
    "services": {"x": {"port": "site_x_port"}, "x_api": {"port": "site_y_port"}},
    "leader_probe": {"service": "x_api", "path": "/primary"},
}  # fmt: skip


def test_clients_of_a_leader_ask_each_host_whether_it_leads() -> None:
    client = {"group": "client", "role": "client", "tier": "airflow", "needs": [{"service": "x"}]}
    site = with_entries(
        PLACED | {"x": ["store", "worker1"], "client": ["control", "store"]}, {"x": LEADING, "client": client}
    )
    assert site.reach("store", "x") == Endpoint(
        "127.0.0.1", 9500, tls=True, addresses=("127.0.0.1", "10.0.0.4"), leader_port=9501, leader_path="/primary"
    )
    assert ways(site, "x_api") == {
        ("client", source, target, "x_api", 9501, "")
        for source in ("control", "store")
        for target in ("store", "worker1")
    }


def test_who_needs_a_kind_comes_to_every_service_of_it() -> None:
    metrics = {
        "group": "x",
        "role": "x",
        "tier": "x",
        "services": {"x": {"port": "site_x_port", "kind": "metrics", "path": "/m"}},
    }
    client = {"group": "client", "role": "client", "tier": "monitoring", "needs": [{"kind": "metrics"}]}
    site = with_entries(BALANCED | {"x": ["store"], "client": ["control"]}, {"x": metrics, "client": client})
    assert {way for way in ways(site) if way[0] == "client"} == {
        ("client", "control", "store", "x", 9500, ""),
        ("client", "control", "edge1", "haproxy_metrics", 8405, ""),
        ("client", "control", "edge2", "haproxy_metrics", 8405, ""),
    }
