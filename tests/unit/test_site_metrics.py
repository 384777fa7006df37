"""Who has metrics, and who collects them."""

from typing import Any

from airstrip_imagined import BALANCED, PLACED, imagined
from ansible_collections.airstrip.core.plugins.module_utils.site_views import fact

WATCHED = PLACED | {"monitoring": ["watch"]}
TWICE = BALANCED | {"monitoring": ["watch", "control"]}


def here(host: str, placed: dict[str, list[str]], **variables: Any) -> dict[str, Any]:
    found: dict[str, Any] = fact(imagined(placed, **variables))["hosts"][host]
    return found


def jobs(host: str, placed: dict[str, list[str]], **variables: Any) -> dict[str, set[str]]:
    """Return the hosts that a host asks, by job."""
    found: dict[str, set[str]] = {}
    for row in here(host, placed, **variables)["targets"]:
        found.setdefault(row["job"], set()).add(row["instance"])
    return found


def test_a_site_without_monitoring_has_none_of_it() -> None:
    site = fact(imagined(PLACED))
    assert site["placed"]["node_exporter"] == [] == site["monitoring_roles"]
    assert not any("exporter" in name for host in site["hosts"].values() for name in host["placed"])
    assert not any(host["monitored"] or host["targets"] for host in site["hosts"].values())
    assert "script" not in site["databases"][0]


def test_one_line_of_inventory_watches_all_hosts() -> None:
    found, every = jobs("watch", WATCHED), {"store", "control", "worker1", "worker2", "watch"}
    assert found["node"] == every == found["process"]
    assert found["statsd"] == {"control", "worker1", "worker2"}
    assert found["airflow"] == {"watch"} == found["redis"]
    assert "haproxy" not in found
    assert jobs("worker1", WATCHED) == {}
    assert here("store", WATCHED)["metrics"] == [
        {"name": "node", "port": 9100, "path": "/metrics"},
        {"name": "process", "port": 9256, "path": "/metrics"},
    ]


def test_each_host_is_asked_at_one_port_by_who_collects() -> None:
    assert {"service": "exporters", "protocol": "tcp", "port": 9999, "sources": ["10.0.0.5"]} in here("store", WATCHED)[
        "rules"
    ]
    opened = {row["service"] for host in ("store", "control", "worker1") for row in here(host, WATCHED)["rules"]}
    assert not any(name.endswith("_metrics") or name == "statsd" for name in opened)
    own = [row for row in here("watch", WATCHED)["targets"] if row["instance"] == "watch"]
    assert {row["address"] for row in own} == {"127.0.0.1"}
    assert here("watch", WATCHED)["listen"]["exporters"] == ["127.0.0.1"]


def test_each_of_two_collectors_asks_all_hosts_and_its_own_exporters() -> None:
    for host in ("watch", "control"):
        found = jobs(host, TWICE)
        assert found["haproxy"] == {"edge1", "edge2"}
        assert found["postgresql"] == {host} == found["airflow"] == found["blackbox"]
        assert {"watch", "control"} <= found["node"]
    assert {row["name"] for row in here("watch", TWICE)["servers"]["alertmanager"]} == {"watch", "control"}
    assert here("watch", TWICE)["callers"]["alertmanager_cluster"] == ["10.0.0.2"]
    assert here("watch", WATCHED)["callers"]["alertmanager_cluster"] == []


def test_who_counts_has_roles_of_its_own_in_the_database() -> None:
    site = fact(imagined(WATCHED, metrics_user="counts"))
    assert site["monitoring_roles"] == [
        # The exporter, and one of each of the three hosts of Airflow that heal what hangs.
        {"name": "counts", "connection_limit": 5},
        {"name": "airflow_monitor", "connection_limit": 3},
    ]
    assert site["databases"][0]["script_names"]["metrics"] == "counts"
    users = {row["user"]: row["address"] for row in site["hosts"]["store"]["clients"]["postgresql"]}
    assert users["counts"] == "10.0.0.5" == users["airflow_monitor"]


def test_without_a_broker_nobody_asks_it() -> None:
    placed = {name: hosts for name, hosts in WATCHED.items() if name not in ("redis", "airflow_worker")}
    assert "redis" not in jobs("watch", placed, executor="LocalExecutor")


def test_what_is_probed_is_what_people_see() -> None:
    assert here("watch", WATCHED, public_name="airflow.example.com", tls_enabled=True)["probed"] == [
        {"module": "http_health", "url": "https://airflow.example.com:8080/api/v2/monitor/health"}
    ]


def test_people_reach_it_through_the_load_balancers_if_somebody_may() -> None:
    assert here("edge1", TWICE)["servers"].get("prometheus") is None
    assert here("watch", TWICE)["listen"]["prometheus"] == ["127.0.0.1"]
    seen = here("edge1", TWICE, viewers=["ada"])
    assert {row["name"] for row in seen["servers"]["prometheus"]} == {"watch", "control"}
    assert here("watch", TWICE, viewers=["ada"], tls_enabled=True)["viewed"] == "https://10.0.0.3/prometheus/"
    assert here("watch", TWICE)["viewed"] == ""


def test_each_host_sends_its_journal_to_the_others_that_collect_and_none_without_tls() -> None:
    assert here("watch", WATCHED, tls_enabled=True)["senders"] == ["control", "store", "worker1", "worker2"]
    assert here("watch", TWICE, tls_enabled=True)["senders"] == sorted(
        set(fact(imagined(TWICE, tls_enabled=True))["hosts"]) - {"watch"}
    )
    assert {row["name"] for row in here("store", TWICE, tls_enabled=True)["servers"]["journal"]} == {"watch", "control"}
    assert {row["name"] for row in here("watch", TWICE, tls_enabled=True)["servers"]["journal"]} == {"control"}
    plain = here("watch", WATCHED, tls_enabled=False)
    assert plain["senders"] == []
    assert "journal_upload" not in plain["placed"]
    assert "journal" not in here("store", WATCHED, tls_enabled=False)["servers"]


def test_one_host_alone_listens_for_no_journal() -> None:
    placed = {name: ["vm"] for name in WATCHED}
    alone = here("vm", placed, tls_enabled=True)
    assert alone["senders"] == []
    assert "journal" not in alone["listen"]
    assert "journal" not in alone["servers"]
    assert "journal" not in {row["service"] for row in alone["probes"]}


def test_journals_come_in_from_hosts_of_the_site_alone() -> None:
    rule = [row for row in here("watch", WATCHED, tls_enabled=True)["rules"] if row["service"] == "journal"]
    assert [(row["port"], len(row["sources"])) for row in rule] == [(19532, 4)]
