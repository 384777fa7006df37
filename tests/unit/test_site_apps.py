"""App workers in the model: what is refused, who runs what, and what firewall, status and monitoring have of them."""

from typing import Any

import pytest
import yaml
from airstrip_imagined import PLACED, imagined, inventory
from airstrip_registry import declared, registry
from airstrip_render import Role
from ansible_collections.airstrip.core.plugins.module_utils.site_app_views import app_workers
from ansible_collections.airstrip.core.plugins.module_utils.site_apps import entries, fair
from ansible_collections.airstrip.core.plugins.module_utils.site_checks import problems
from ansible_collections.airstrip.core.plugins.module_utils.site_model import Site
from ansible_collections.airstrip.core.plugins.module_utils.site_sizing import memory_needed
from ansible_collections.airstrip.core.plugins.module_utils.site_views import fact, ports
from ansible_collections.airstrip.core.plugins.module_utils.worker_scale import Host

APPS = PLACED | {"app_worker": ["apps1", "apps2"], "monitoring": ["monitor"]}
SCALE = {"series": "bull_waiting", "min": 1, "max": 6, "target": 10}


def app(**more: Any) -> dict[str, Any]:
    return {"name": "etl", "command": ["python", "work.py"], "runtime": "python", "source": "/srv/etl"} | more


def web(**more: Any) -> dict[str, Any]:
    return app(port=8011, health={"http": "/health", "seconds": 20}) | more


def site(*apps: Any, placed: dict[str, Any] = APPS) -> Site:
    return imagined(placed, app_workers=list(apps), tls_enabled=True)


def said(*apps: Any, **more: Any) -> list[str]:
    return problems(site(*apps, **more))


def of_host(name: str, *apps: Any, **more: Any) -> Any:
    return fact(site(*apps, **more))["hosts"][name]


@pytest.mark.parametrize(
    "given",
    [
        app(),
        web(),
        app(source="apps/etl.tar.gz", lock="locks/etl.txt", keep=0, stop_timeout=600),
        app(source={"git": "https://git.example.com/etl.git", "ref": "v1.2.0", "path": "worker"}),
        app(source={"git": "ssh://git@git.example.com/etl.git", "ref": "a" * 40}),
        app(runtime="nodejs", command=["node", "work.js"]),
        app(runtime="none", command=["/usr/bin/sleep", "infinity"], instances=4),
        app(hosts=["apps2"]),
        app(hosts=["app_worker"]),
        app(scale=SCALE),
        app(scale=SCALE | {"up": {"percent": 100, "instances": 4}, "per_host": 5}),
        web(clients=["airflow_worker", "control", "192.0.2.7", "198.51.100.0/24"]),
        web(metrics={"path": "/metrics"}),
        app(metrics={"port": 9500}),
        app(health={"command": ["python", "check.py"]}),
        web(health={"tcp": True}),
        app(environment={"LOG_LEVEL": "INFO", "N": 3}, credentials={"token": "camunda_token"}),
        app(resources={"MemoryMax": "512M", "CPUQuota": "50%", "TasksMax": 64, "IOWeight": 10, "Nice": 5}),
        app(read_write_paths=["/srv/shared"], unit_options={"MemoryDenyWriteExecute": None, "Nice": 3}),
    ],
)
def test_these_are_fine(given: dict[str, Any]) -> None:
    assert said(given) == []


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (app(command=[]), "has no command that is a list of texts"),
        (app(command="python work.py"), "has no command that is a list of texts"),
        (app(runtime="ruby"), "has the runtime 'ruby'. Set it to python, nodejs or none"),
        (app(runtime=None), "has the runtime None"),
        (app(enviroment={}), "has the unknown key enviroment. Did you mean environment?"),
        (app(source=""), "has no source. Set it to a directory or an archive"),
        (app(source={"git": "https://git.example.com/etl.git"}), "has a source that is no repository"),
        (app(source={"git": "https://me:pw@git.example.com/etl.git", "ref": "v1"}), "has a password in the URL"),
        (app(hosts=["worker1"]), "is to run on worker1, which the group app_worker lacks"),
        (app(hosts=["nowhere"]), "is to run on nowhere"),
        (app(hosts="apps1"), "has hosts that are no list of names"),
        (app(instances=0), "has instances 0. Set it to a whole number from 1 to 64"),
        (app(instances=True), "has instances True"),
        (app(instances=2, scale=SCALE), "has both instances and scale"),
        (app(scale={"min": 1, "max": 2, "target": 1}), "has a scale without a series"),
        (app(scale=SCALE | {"min": 9}), "has scale.min 9 above scale.max 6"),
        (app(scale=SCALE | {"target": 0}), "has scale.target 0"),
        (app(scale=SCALE | {"max": 1}), "has scale.max 1 and 2 hosts, of which each runs one at least"),
        (app(scale=SCALE | {"per_host": 1}), "has scale.max 6, and its 2 hosts may run 2 together (scale.per_host)"),
        (app(scale=SCALE | {"minimum": 1}), "has the unknown key scale.minimum"),
        (app(scale="2 to 6"), "has a scale that is no mapping"),
        (app(port=8011), "has a port and no health"),
        (app(port="8011", health={"tcp": True}), "has the port '8011'. Set it to a number from 1 to 65535"),
        (web(port=65535, instances=2), "has 2 instances on apps1, the last at port 65536"),
        (app(health={"http": "/health"}), "has health.http and no port"),
        (web(health={"http": "health"}), "has health.http 'health'. Set it to a path that begins with /"),
        (web(health={}), "has a health that is none"),
        (web(health={"http": "/", "tcp": True}), "has a health that is none"),
        (web(health={"tcp": True, "seconds": 0}), "has health.seconds 0"),
        (app(health={"command": "check"}), "has a health.command that is no list of texts"),
        (app(metrics={"path": "/metrics"}), "has metrics and no port. Set metrics.port"),
        (web(metrics={"path": "metrics"}), "has metrics.path 'metrics'"),
        (web(metrics="/metrics"), "has metrics that are no mapping"),
        (app(clients=["control"]), "has clients and no port at which they come"),
        (web(clients=["somebody"]), "has clients that are no hosts or groups of the inventory"),
        (app(environment=["A=1"]), "has environment that are no mapping"),
        (app(environment={"A B": 1}), "has 'A B' in environment, which is no name of a variable"),
        (app(credentials={"../token": "token"}), "has '../token' in credentials, which is no name of a file"),
        (
            app(credentials={"token": "airflow_fernet_key"}),
            "has the secret airflow_fernet_key in credentials, which is the",
        ),
        (app(credentials={"token": {"a": 1}}), "has credentials with something else than the name of a secret"),
        (app(resources={"User": "root"}), "has 'User' in resources, which is no limit of systemd"),
        (
            app(unit_options={"ExecStartPre": "+/bin/sh"}),
            "has ExecStartPre in unit_options, which the role sets itself",
        ),
        (app(read_write_paths=["shared"]), "has read_write_paths that are no list of absolute paths"),
        (app(stop_timeout=-1), "has stop_timeout -1"),
    ],
)
def test_these_are_refused(given: dict[str, Any], expected: str) -> None:
    found = said(given)
    assert [problem for problem in found if f"the app etl {expected}" in problem], found


@pytest.mark.parametrize("name", ["Etl", "etl_2", "-etl", "etl-", "e" * 25, "", 7, None])
def test_a_name_that_its_user_cannot_have_is_refused(name: Any) -> None:
    assert [problem for problem in said(app(name=name)) if f"site_app_workers has the name {name!r}" in problem]


def test_two_apps_of_one_name_are_refused() -> None:
    assert "site_app_workers has 2 apps of the name etl. Give each a name of its own." in said(app(), app())


def test_what_is_no_app_is_refused() -> None:
    assert "site_app_workers has an entry that is no mapping" in said("etl")[0]


def test_apps_without_hosts_are_refused_and_hosts_without_apps() -> None:
    assert "the app etl has no host. Put one into the group app_worker" in said(app(), placed=PLACED)[0]
    assert "The group app_worker has a host, and site_app_workers is empty" in said()[0]


def test_a_scale_needs_monitoring() -> None:
    without = {group: hosts for group, hosts in APPS.items() if group != "monitoring"}
    assert "has a scale, which Prometheus works out, and no host is in" in said(app(scale=SCALE), placed=without)[0]


@pytest.mark.parametrize(
    ("other", "owner"),
    [
        (web(name="other"), "site_app_workers (other, instance 1)"),
        (web(name="other", port=8010, instances=2), "site_app_workers (other, instance 2)"),
        (app(name="other", metrics={"port": 8011}), "site_app_workers (other, instance 1)"),
    ],
)
def test_two_apps_on_one_port_are_refused(other: dict[str, Any], owner: str) -> None:
    found = f"apps1: port 8011 is used by site_app_workers (etl, instance 1) and {owner}. Give each a port of its own."
    assert found in said(web(), other)


def test_a_port_of_the_site_s_own_is_refused() -> None:
    placed = APPS | {"app_worker": ["control"]}
    assert "control: port 8080 is used by site_api_server_port and" in said(web(port=8080), placed=placed)[0]


def test_a_site_without_apps_has_nothing_of_them() -> None:
    found = fact(imagined(PLACED))
    assert found["placed"]["app_worker"] == found["placed"]["app_worker_scale"] == []
    assert all(host["app_workers"] == [] for host in found["hosts"].values())


def test_an_app_runs_on_all_hosts_or_on_those_that_it_names() -> None:
    assert [row["name"] for row in app_workers(site(app()), "apps1")] == ["etl"]
    assert app_workers(site(app(hosts=["apps2"])), "apps1") == []
    assert [row["unit"] for row in app_workers(site(app(hosts=["apps2"], instances=2)), "apps2")[0]["instances"]] == [
        "app-worker-etl@1.service",
        "app-worker-etl@2.service",
    ]


def test_each_instance_has_a_port_of_its_own() -> None:
    found = app_workers(site(web(instances=3)), "apps1")[0]["instances"]
    assert [(row["number"], row["port"], row["elastic"]) for row in found] == [
        (1, 8011, False),
        (2, 8012, False),
        (3, 8013, False),
    ]


def test_instances_that_scale_are_shared_out() -> None:
    found = site(app(scale=SCALE))
    assert found.apps["etl"] == {"apps1": Host("apps1", 2, 1, 6), "apps2": Host("apps2", 2, 1, 6)}
    assert fair(app(scale=SCALE), found.apps["etl"]) == {"apps1": 3, "apps2": 3}
    row = of_host("apps1", app(scale=SCALE))["scaled_here"][0]
    assert (row["name"], row["least"], row["most"], row["first"]) == ("app-etl", 2, 6, "app-worker-etl@1.service")
    assert row["units"] == [f"app-worker-etl@{number}.service" for number in range(2, 7)]
    rules = of_host("monitor", app(scale=SCALE))["scaled"][0]
    assert (rules["name"], rules["series"], rules["min"]) == ("app-etl", "bull_waiting", 2)
    assert fact(site(app(scale=SCALE)))["placed"]["app_worker_scale"] == ["apps1", "apps2"]


def test_the_rules_count_what_the_user_names() -> None:
    scaled = of_host("monitor", app(scale=SCALE | {"series": 'max(bull_jobs{state="wait"})'}))["scaled"]
    rules = yaml.safe_load(Role("prometheus", {"prometheus_scaled": scaled}).render("rules/scale.yml.j2"))["groups"][0]
    found = {rule.get("record"): rule for rule in rules["rules"]}
    for name in ("tasks", "tasks_waiting"):
        assert found[f"airstrip:worker_{name}"]["expr"].strip() == 'sum(max(bull_jobs{state="wait"}))'
    present = found["airstrip:worker_instances_present"]
    assert present["labels"] == {"set": "app-etl"}
    assert 'name="app-worker-etl@1.service"' in present["expr"]


def test_who_scales_an_app_may_ask_prometheus() -> None:
    assert "worker_scale" in fact(site(app(scale=SCALE)))["viewers"]
    assert "worker_scale" not in fact(site(app()))["viewers"]


def test_clients_are_let_in_and_nobody_else() -> None:
    def rules(**more: Any) -> list[dict[str, Any]]:
        return [row for row in of_host("apps1", web(**more))["rules"] if row["service"] == "app_etl"]

    assert rules() == []
    found = rules(clients=["airflow_worker", "192.0.2.0/24", "apps1"], instances=2)
    assert [row["port"] for row in found] == [8011, 8012]
    sources = [host.address for name, host in site().hosts.items() if name.startswith("worker")]
    assert found[0]["sources"] == sorted([*sources, "192.0.2.0/24"])


def test_metrics_go_through_the_host_s_one_port() -> None:
    given = web(instances=2, metrics={"path": "/stats"})
    here = of_host("apps1", given)
    assert {"name": "app_etl_2", "port": 8012, "path": "/stats"} in here["metrics"]
    found = [row for row in of_host("monitor", given)["targets"] if row["job"] == "app_etl" and row["port"]]
    assert [(row["instance"], row["labels"]) for row in found][:2] == [
        ("apps1", {"__module": "app_etl_1", "app_instance": "1"}),
        ("apps1", {"__module": "app_etl_2", "app_instance": "2"}),
    ]


def test_the_status_knows_each_instance() -> None:
    here = of_host("apps1", app(scale=SCALE))["status"]
    found = {part["name"]: part["units"] for part in here["parts"] if part["component"] == "app_worker"}
    assert found == {"app_worker@etl@1": ["app-worker-etl@1.service"]}
    assert "app-worker-etl@6.service" in here["elastic_units"]


def test_its_ports_are_the_host_s() -> None:
    row = {"port": 8012, "owner": "site_app_workers (etl, instance 2)"}
    assert row in ports(site(web(instances=2)), "apps2")


def test_memory_counts_all_instances() -> None:
    assert memory_needed(site(app(instances=4)), "apps1") - memory_needed(site(app()), "apps1") == 3 * 64


def test_whatever_is_no_app_is_left_out() -> None:
    assert entries([7, {"name": None}, {"name": "a"}, {"name": "a", "x": 1}]) == {"a": {"name": "a"}}
    assert entries("etl") == {}


def test_an_inventory_with_apps_is_a_site() -> None:
    found = inventory(APPS, {"site_app_workers": [web()]})
    assert found.site(registry(), declared()).apps["etl"].keys() == {"apps1", "apps2"}
    assert found.problems == []
