"""What each host has to know of its site."""

import json
from typing import Any

import pytest
from airstrip_imagined import ALONE, BALANCED, PLACED, facts, imagined, inventory, sites
from airstrip_registry import declared, registry
from ansible_collections.airstrip.core.plugins.module_utils.site_inventory import networks
from ansible_collections.airstrip.core.plugins.module_utils.site_views import fact
from hypothesis import given

METADATA = {"database": "airflow", "user": "airflow"}


def here(host: str, placed: dict[str, list[str]] | None = None, **variables: Any) -> dict[str, Any]:
    found: dict[str, Any] = fact(imagined(placed or PLACED, **variables))["hosts"][host]
    return found


def rule(service: str, port: int, *sources: str, protocol: str = "tcp") -> dict[str, Any]:
    return {"service": service, "protocol": protocol, "port": port, "sources": list(sources)}


def test_a_host_lets_in_who_connects() -> None:
    assert here("store")["rules"] == [
        rule("postgresql", 5432, "10.0.0.2", "10.0.0.3", "10.0.0.4"),
        rule("redis", 6379, "10.0.0.2", "10.0.0.3", "10.0.0.4"),
    ]
    # Everybody comes to the API server, and so do the tasks.
    assert here("control")["rules"] == [rule("api", 8080), rule("execution_api", 8080, "10.0.0.3", "10.0.0.4")]
    assert here("vm", ALONE, executor="LocalExecutor")["rules"] == [rule("api", 8080)]
    edge = here("edge1", BALANCED, virtual_address="10.0.0.100")["rules"]
    assert rule("vrrp", 0, "10.0.0.6", protocol="vrrp") in edge
    assert rule("https", 443) in edge


def test_further_clients_are_let_in_where_the_database_is() -> None:
    clients = [{"database": "app", "user": "app", "address": address} for address in ("192.0.2.9", "192.0.2.8")]
    clients.append({"database": "other", "user": "app", "address": "192.0.2.9"})
    assert here("store", database_extra_clients=clients)["rules"][-1] == rule(
        "postgresql", 5432, "192.0.2.8", "192.0.2.9"
    )
    assert here("control", database_extra_clients=clients)["rules"] == here("control")["rules"]


def test_a_database_knows_its_clients() -> None:
    found = here("store", results_database_name="celery", results_database_user="writer")["clients"]["postgresql"]
    assert {"address": "10.0.0.2", "component": "scheduler", **METADATA} in found
    assert {"address": "10.0.0.3", "component": "worker", "database": "celery", "user": "writer"} in found
    assert len(found) == 4 + 1 + 2
    assert here("store")["clients"]["redis"][0] == {"address": "10.0.0.2", "component": "scheduler"}
    assert here("control")["clients"]["postgresql"] == []


def test_services_listen_where_others_connect() -> None:
    assert here("store")["listen"]["redis"] == ["127.0.0.1", "10.0.0.1"]
    # Nobody else asks the triggerer's host for logs.
    assert "triggerer_logs" not in here("control")["listen"]
    assert here("vm", ALONE, executor="LocalExecutor")["listen"]["postgresql"] == ["127.0.0.1"]


@pytest.mark.parametrize(
    ("host", "placed", "variables", "urls"),
    [
        ("control", PLACED, {}, ("https://127.0.0.1:8080", "", "https://127.0.0.1:8080/execution/")),
        ("worker1", PLACED, {}, ("https://10.0.0.2:8080", "", "https://10.0.0.2:8080/execution/")),
        ("worker1", BALANCED, {}, ("https://10.0.0.3", "https://10.0.0.3", "https://10.0.0.3:8443/execution/")),
        (
            "worker1",
            BALANCED,
            {"virtual_address": "10.0.0.100", "public_name": "air.example.com", "https_port": 444},
            ("https://air.example.com:444", "https://air.example.com:444", "https://10.0.0.100:8443/execution/"),
        ),
        (
            "vm",
            ALONE | {"load_balancer": ["vm"]},
            {"executor": "LocalExecutor", "http_port": 8080},
            ("http://127.0.0.1:8080", "", "http://127.0.0.1:8443/execution/"),
        ),
        (
            "vm",
            ALONE | {"load_balancer": ["vm"]},
            {"executor": "LocalExecutor", "public_name": "air"},
            ("http://air", "http://air", "http://127.0.0.1:8443/execution/"),
        ),
    ],
)
def test_the_site_has_these_addresses(
    host: str, placed: dict[str, list[str]], variables: dict[str, Any], urls: tuple[str, str, str]
) -> None:
    assert tuple(here(host, placed, **variables)["urls"].values()) == urls


def test_certificates_are_valid_for_the_names_of_their_host() -> None:
    own = ["store", "store.example.com", "10.0.0.1", "localhost", "127.0.0.1"]
    assert here("store")["certificates"] == {"postgresql": own, "redis": own}
    assert here("store", tls_enabled="no")["certificates"] == {}
    named = here("edge1", BALANCED, virtual_address="10.0.0.100", public_name="air.example.com")["certificates"]
    assert named["load_balancer"][-4:] == ["10.0.0.100", "air.example.com", "localhost", "127.0.0.1"]
    assert named["api_server"] == named["load_balancer"]
    other = here("control", BALANCED, virtual_address="10.0.0.100", public_name="air.example.com")["certificates"]
    assert not {"10.0.0.100", "air.example.com"} & {*other["api_server"]}


@pytest.mark.parametrize(
    ("placed", "said"),
    [
        (PLACED, {"control": "unasked", "worker1": "served", "store": ""}),
        (ALONE | {"airflow_worker": ["vm"]}, {"vm": "unasked"}),
    ],
)
def test_log_servers_run_where_others_ask(placed: dict[str, list[str]], said: dict[str, str]) -> None:
    assert {host: here(host, placed)["logs"] for host in said} == said


def test_workers_of_a_name_are_one_set_with_a_user_of_their_own() -> None:
    workers = [{"name": "b", "queues": ["y", "x"]}, {"name": "a", "queues": ["x"]}, {"queues": ["lost"]}]
    found = fact(imagined(PLACED, workers=workers, broker_user="me"))
    assert found["worker_sets"] == {"a": ["x"], "b": ["x", "y"]}
    assert found["queues"] == ["x", "y"]
    assert found["broker_users"][1] == {
        "worker": "b", "user": "me-worker-b", "queues": ["x", "y"], "secret": "airflow_broker_password_b",
    }  # fmt: skip
    assert fact(imagined(PLACED | {"redis": []}, broker_host="b"))["broker_users"] == []


# As Ansible tells of them: a name with a hyphen is another one as a fact.
INTERFACES: dict[str, Any] = {
    "default_ipv4": {"address": "10.0.0.5", "interface": "eth0"},
    "interfaces": ["lo", "br-site.7", "eth0"],
    "lo": {"ipv4": {"address": "127.0.0.1", "network": "127.0.0.0", "netmask": "255.0.0.0"}},
    "eth0": {
        "macaddress": "02:00:00:00:00:01",
        "ipv4": {"address": "10.0.0.5", "network": "10.0.0.0", "netmask": "255.255.255.0"},
        "ipv4_secondaries": [{"address": "10.9.0.5", "network": "10.9.0.0", "netmask": "255.255.255.0"}],
    },
    "br_site.7": {"ipv4": {"address": "172.16.0.5", "network": "172.16.0.0", "netmask": "255.255.0.0"}},
}


@pytest.mark.parametrize(
    ("address", "interface"),
    [
        ("10.0.0.100", "eth0"),
        ("10.9.0.100", "eth0"),
        ("172.16.7.100", "br-site.7"),
        # Of another network: refused by its own check.
        ("192.0.2.1", "eth0"),
        ("2001:db8::1", "eth0"),
        ("", ""),
    ],
)
def test_the_virtual_address_is_in_the_interface_of_its_network(address: str, interface: str) -> None:
    known = facts(1, "edge1") | {"networks": networks(INTERFACES)}
    told = inventory(BALANCED, {"site_virtual_address": address}, said={"edge1": known})
    hosts = fact(told.site(registry(), declared()))["hosts"]
    assert hosts["edge1"]["virtual_interface"] == interface
    # One that has told nothing.
    assert hosts["edge2"]["virtual_interface"] == ""


def two_networks(number: int, name: str) -> dict[str, Any]:
    """Return what a host says that is in two networks, the site's by another interface than the default route."""
    interfaces = {"eth0": f"10.0.0.{number}", "eth1": f"172.16.0.{number}"}
    more = {
        interface: {
            "ipv4": {"address": address, "network": address.rpartition(".")[0] + ".0", "netmask": "255.255.255.0"}
        }
        for interface, address in interfaces.items()
    }
    said = facts(number, name, interfaces=[*interfaces], **more)
    return said | {"networks": networks(said)}


def test_of_several_addresses_the_given_one_counts_everywhere() -> None:
    names = dict.fromkeys(host for hosts in BALANCED.values() for host in hosts)
    said = {name: two_networks(number, name) for number, name in enumerate(names, 1)}
    own = {name: {"site_host_address": f"172.16.0.{number}"} for number, name in enumerate(names, 1)}
    site = inventory(BALANCED, {"site_virtual_address": "172.16.0.100"}, own, said).site(registry(), declared())
    found = fact(site)
    store, edge = found["hosts"]["store"], found["hosts"]["edge1"]
    assert [store["listen"][service][-1] for service in ("postgresql", "redis")] == ["172.16.0.1", "172.16.0.1"]
    assert all((store["clients"]["postgresql"], store["clients"]["redis"], store["rules"]))
    assert "172.16.0.1" in store["certificates"]["postgresql"]
    assert found["entries"][0]["address"] == "172.16.0.1"
    assert (edge["listen_address"], edge["virtual_interface"]) == (edge["address"], "eth1")
    # Access lists, firewalls, certificates, /etc/hosts, URLs: the other address is nowhere.
    assert "10.0.0." not in json.dumps(found)


def test_where_a_router_translates_an_address_services_bind_to_the_host_s_own() -> None:
    own = {"store": {"site_host_address": "192.0.2.9", "site_host_address_translated": True}}
    found = fact(inventory(PLACED, {}, own).site(registry(), declared()))
    assert found["hosts"]["store"]["listen"]["postgresql"] == ["127.0.0.1", "10.0.0.1"]
    assert found["hosts"]["control"]["reach"]["postgresql"]["address"] == "192.0.2.9"
    assert found["entries"][0]["address"] == "192.0.2.9"


def test_entries_and_proxy_name_all_hosts() -> None:
    site = fact(imagined(BALANCED, virtual_address="10.0.0.100", public_name="air", http_proxy="http://p:3128"))
    assert site["entries"][0] == {"address": "10.0.0.1", "names": ["store.example.com", "store"]}
    assert site["entries"][-1] == {"address": "10.0.0.100", "names": ["air"]}
    assert site["proxy"]["http_proxy"] == "http://p:3128"
    direct = site["proxy"]["no_proxy"].split(",")
    assert direct[:3] == ["localhost", "127.0.0.1", "10.0.0.1"]
    # Whatever of the site a client asks for is reached without, by address and by name.
    assert {name for entry in site["entries"] for name in (entry["address"], *entry["names"])} <= {*direct}
    assert {"10.0.0.100", "air", *site["hosts"]} <= {*direct}
    assert fact(imagined(PLACED))["proxy"] == {}


@pytest.mark.parametrize(
    ("store", "server"),
    [
        ({"url": "s3://logs", "endpoint_url": "https://s3.example.com:9000"}, ("s3.example.com", 9000)),
        ({"url": "s3://logs", "region": "eu-west-1"}, ("s3.eu-west-1.amazonaws.com", 443)),
        ({"url": "cloudwatch://arn:aws:logs:eu-west-1:1:log-group:/a"}, ("logs.eu-west-1.amazonaws.com", 443)),
        ({"url": "gs://logs"}, ("storage.googleapis.com", 443)),
        ({}, None),
    ],
)
def test_the_place_of_the_task_logs_is_outside_where_they_are_sent_or_read(
    store: dict[str, str], server: tuple[str, int] | None
) -> None:
    placed = {"postgresql": ["store"], "airflow_worker": ["worker1"], "airflow_scheduler": ["store"]}
    names = {"component": "remote_logs", "service": "remote_logs", "variable": "site_remote_logs"}
    found = [names | {"host": server[0], "port": server[1]}] if server else []
    assert here("worker1", placed, remote_logs=store)["outside"] == found
    assert here("store", placed, remote_logs=store)["outside"] == []
    assert here("worker1", placed, remote_logs=store, https_proxy="http://proxy:3128")["outside"] == []


def test_what_is_outside_is_named_where_it_is_needed() -> None:
    placed = PLACED | {"postgresql": [], "redis": ["store"]}
    outside: dict[str, Any] = {"component": "postgresql", "service": "postgresql", "variable": "site_database_host"}
    outside |= {"host": "db", "port": 5432}
    assert here("worker1", placed, database_host="db")["outside"] == [outside]
    assert here("store", placed, database_host="db")["outside"] == []
    assert here("worker1", placed)["outside"] == []
    assert here("worker1", placed, database_host="db")["reach"]["postgresql"]["authority"].startswith("/etc/ssl/")
    assert here("worker1", config_directory="/c")["reach"]["postgresql"]["authority"] == "/c/ca.crt"


@given(sites())
def test_a_host_is_let_in_where_it_connects(site: Any) -> None:
    found = fact(site)
    for way in found["connections"]:
        if way["source"] != way["destination"]:
            target = found["hosts"][way["destination"]]
            (let_in,) = [
                row for row in target["rules"] if (row["service"], row["port"]) == (way["service"], way["port"])
            ]
            assert way["source_address"] in let_in["sources"] or not let_in["sources"]
            if way["port"]:
                assert way["destination_address"] in target["listen"][way["service"]]


def test_what_is_placed_has_its_units_and_paths_in_the_order_of_stopping() -> None:
    found = here("edge1", BALANCED | {"firewall": ["edge1"]}, virtual_address="10.0.0.100", config_directory="/c")
    assert [*found["placed"]] == ["keepalived", "load_balancer", "api_server", "firewall"]
    assert found["placed"]["api_server"]["units"] == ["airflow-api-server.service"]
    assert "/c" in found["placed"]["api_server"]["owns"]
    # It neither offers nor needs anything.
    assert "firewall" not in found["components"]
    # Load balancers, then who needs others before those; what is written to comes last.
    everything = [*fact(imagined(PLACED))["known"]]
    assert everything[:2] == ["keepalived", "load_balancer"]
    assert everything.index("worker") < everything.index("api_server") < everything.index("redis")
    assert fact(imagined(PLACED, redis_engine="valkey"))["known"]["redis"]["units"] == ["valkey-server.service"]


def test_a_whole_site_stops_from_its_tasks_to_what_they_need() -> None:
    found = fact(imagined(BALANCED | {"firewall": ["edge1"]}, virtual_address="10.0.0.100"))["stopping"]
    assert (found[0], found[4:]) == ("worker", ["api_server", "keepalived", "load_balancer", "redis", "postgresql"])
    assert {*found[1:4]} == {"dag_processor", "scheduler", "triggerer"}
    assert "keepalived" not in fact(imagined(BALANCED))["stopping"]
    # Where the scheduler runs the tasks, it goes first.
    alone = fact(imagined(ALONE, executor="LocalExecutor"))["stopping"]
    assert (alone[0], alone[-2:]) == ("scheduler", ["api_server", "postgresql"])


def test_a_host_is_told_what_is_to_be_seen_on_it() -> None:
    workers = [{"name": "default", "queues": ["default"]}, {"name": "big", "queues": ["big"]}]
    found = here("worker1", BALANCED, workers=workers)["status"]
    assert [(part["name"], part["units"], part["ports"]) for part in found["parts"]] == [
        ("worker@default", ["airflow-worker@default.service"], {"worker_logs": 8793}),
        ("worker@big", ["airflow-worker@big.service"], {}),
    ]
    assert {"airflow-*.service", "haproxy.service", "postgresql@*-main.service"} <= set(found["known_units"])
    assert (found["host"], found["authority"], found["renew_days"]) == ("worker1", "/etc/airflow/ca.crt", 30)
    muted = {"host-drained": "1970-01-02", "disk-low": "soon"}
    assert here("worker1", BALANCED, status_muted=muted)["status"]["muted"] == {"host-drained": 86400}
    edge = {part["name"]: part for part in here("edge1", BALANCED)["status"]["parts"]}
    assert edge["api_server"]["url"] == "https://127.0.0.1:8080/execution/health"
    assert edge["api_server"]["ports"] == {}
    assert edge["api_server"]["certificates"] == ["/etc/airflow/credentials/api_server_certificate"]
    assert edge["load_balancer"]["ports"] == {"execution_api": 8443, "haproxy_metrics": 8405, "http": 80}
    assert edge["load_balancer"]["socket"] == "/run/haproxy/admin.sock"
    # What starts first may be the cause of what starts after it.
    assert [*edge] == ["api_server", "load_balancer"]
    alone = here("vm", ALONE, executor="LocalExecutor")["status"]
    assert (alone["authority"], {tuple(part["certificates"]) for part in alone["parts"]}) == ("", {()})
    assert alone["parts"][0]["component"] == "postgresql"


def way_out(service: str, port: int, *destinations: str, protocol: str = "tcp") -> dict[str, Any]:
    return {"service": service, "protocol": protocol, "port": port, "destinations": list(destinations)}


def test_a_host_is_let_out_to_what_it_connects_to() -> None:
    store, control = "10.0.0.1", "10.0.0.2"
    assert here("worker1")["egress"] == [
        # The API server is everybody's.
        way_out("api", 8080, control),
        way_out("execution_api", 8080, control),
        way_out("postgresql", 5432, store),
        way_out("redis", 6379, store),
    ]
    assert [row["service"] for row in here("store")["egress"]] == ["api"]
    assert here("vm", ALONE, executor="LocalExecutor")["egress"] == []


def test_a_host_is_let_out_to_an_address_that_moves() -> None:
    found = {row["service"]: row for row in here("edge1", BALANCED, virtual_address="10.0.0.100")["egress"]}
    assert found["https"]["destinations"] == ["10.0.0.100", here("edge2", BALANCED)["address"]]
    assert found["vrrp"] == way_out("vrrp", 0, here("edge2", BALANCED)["address"], protocol="vrrp")
    found = {row["service"]: row for row in here("worker1", BALANCED, virtual_address="10.0.0.100")["egress"]}
    assert "10.0.0.100" in found["execution_api"]["destinations"]
    assert "haproxy_metrics" not in found


def test_a_host_is_let_out_to_servers_outside_that_are_named_by_an_address() -> None:
    placed = PLACED | {"postgresql": [], "redis": []}
    given = {"broker_host": "2001:db8::6", "http_proxy": "http://192.0.2.8:3128", "https_proxy": "https://proxy"}
    found = here("worker1", placed, database_host="db.example.com", **given)
    assert [row for row in found["egress"] if "api" not in row["service"]] == [
        way_out("http_proxy", 3128, "192.0.2.8"),
        way_out("redis", 6379, "2001:db8::6"),
    ]
    assert found["egress_named"] == [
        {"variable": "site_database_host", "host": "db.example.com", "port": 5432},
        {"variable": "site_https_proxy", "host": "proxy", "port": 443},
    ]
    local = here("worker1", placed, database_host="127.0.0.1", broker_host="localhost")
    assert {row["service"] for row in local["egress"]} == {"api", "execution_api"}
    assert local["egress_named"] == []


@given(sites())
def test_who_is_let_out_is_let_in(site: Any) -> None:
    found = fact(site)
    addresses = {entry["address"]: name for name, entry in found["hosts"].items()}
    for host in found["hosts"].values():
        for way in host["egress"]:
            for name in (addresses[address] for address in way["destinations"] if address in addresses):
                rows = [row for row in found["hosts"][name]["rules"] if row["port"] == way["port"]]
                assert any(not row["sources"] or host["address"] in row["sources"] for row in rows)
    for way in found["connections"]:
        if way["source"] != way["destination"]:
            (row,) = [
                row
                for row in found["hosts"][way["source"]]["egress"]
                if (row["service"], row["port"]) == (way["service"], way["port"])
            ]
            assert way["destination_address"] in row["destinations"]


def test_flower_has_a_user_of_the_broker_for_the_workers_that_it_shows() -> None:
    workers = [{"name": "a", "queues": ["x"]}, {"name": "b", "queues": ["y"]}]
    placed = BALANCED | {"flower": ["control"]}
    found = fact(imagined(placed, workers=workers, flower_worker="b", broker_user="me", viewers=["ada"]))
    users = {row["user"]: row for row in found["broker_users"]}
    assert [*users] == ["me-worker-a", "me-worker-b", "me-flower-b"]
    assert "watched" not in users["me-worker-a"]
    assert users["me-worker-b"]["watched"]
    assert users["me-flower-b"] == {
        "worker": "b", "user": "me-flower-b", "queues": ["y"], "secret": "airflow_flower_broker_password_b",
        "looking": True,
    }  # fmt: skip
    assert found["hosts"]["edge1"]["servers"]["flower"] == [{"name": "control", "address": "10.0.0.2", "port": 5555}]
    rows = [rule for rule in found["hosts"]["control"]["rules"] if rule["service"] == "flower"]
    assert [row["port"] for row in rows] == [5555]
    assert found["hosts"]["control"]["programs"]["flower"]["instances"][0]["shows"] == "b"
