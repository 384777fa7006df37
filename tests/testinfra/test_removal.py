"""Role removal: what leaves the inventory leaves the hosts, and comes back with it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from airstrip_site import PROJECT, Site

RECORD = "/etc/airstrip/placed.json"
# What this controller needs to reach and to know the host.
KEPT = ("site_secrets_file", "base_ca_certificates")
# A session over the network, as a worker may keep one that is not placed any more.
RESULTS_URL = "$(sed s/^db.postgresql.psycopg2/postgresql/ /etc/airflow/credentials/results_url)"
SLEEPER = f"psql \"{RESULTS_URL}\" -c 'SELECT pg_sleep(600)'"
BACKEND = "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)'"


def record(host: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(host.check_output(f"cat {RECORD}"))
    return found


def test_the_record_is_roots_and_says_what_is_placed(host: Any, site: Site, inventory_hostname: str) -> None:
    file = host.file(RECORD)
    assert (file.user, file.group, file.mode) == ("root", "root", 0o600)
    groups = {"postgresql", "redis", "load_balancer", "firewall"}
    groups |= {group for group in site.inventory if group.startswith("airflow_")}
    here = {group.removeprefix("airflow_") for group in groups if inventory_hostname in site.group(group)}
    assert {*record(host)["components"]} - {"keepalived"} == here


def without(site: Site, directory: Path, *groups: str) -> Site:
    """Return the same hosts, in an inventory in which these groups have none."""
    known = site.inventory["_meta"]["hostvars"]
    hosts = {
        name: {key: value for key, value in known[name].items() if key.startswith("ansible_") or key in KEPT}
        for name in site.hosts
    }
    members = {
        group: {"hosts": dict.fromkeys(entry["hosts"])}
        for group, entry in site.inventory.items()
        if "hosts" in entry and group not in (*groups, "ungrouped", "molecule")
    }
    airflow = {group: entry for group, entry in members.items() if group.startswith("airflow_")}
    others = {group: entry for group, entry in members.items() if group not in airflow}
    content = {"all": {"hosts": hosts, "children": {**others, "airflow": {"children": airflow}}}}
    (directory / "hosts.yml").write_text(yaml.safe_dump(content), encoding="utf-8")
    (directory / "group_vars").symlink_to(PROJECT / "inventory" / "single_node" / "group_vars")
    return Site(site.scenario, site.directory, [f"--inventory={directory}"])


def run(site: Site, *arguments: str) -> str:
    result = site.command("ansible-playbook", "site.yml", *arguments)
    assert result.returncode == 0, result.stdout[-6000:]
    return result.stdout


def active(host: Any, unit: str) -> bool:
    return bool(host.run(f"systemctl is-active {unit}").rc == 0)


@pytest.fixture(scope="module")
def left(site: Site, host: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Take workers and broker out of the inventory, and back; give the output of the run."""
    host.check_output("systemd-run --unit=airstrip-sleeper --collect /bin/sh -c %s", SLEEPER)
    assert query_until(host, BACKEND, "1")
    smaller = without(site, tmp_path_factory.mktemp("smaller"), "airflow_worker", "redis")
    yield run(smaller, "--extra-vars", '{"site_executor": "LocalExecutor", "preflight_leaving_allowed": ["redis"]}')
    run(site)
    assert active(host, "airflow-worker@default.service")
    assert active(host, "redis-server.service")
    assert {"worker", "redis"} <= {*record(host)["components"]}


def query_until(host: Any, sql: str, expected: str) -> bool:
    """Ask the server ten seconds long, until it answers as expected."""
    ask = f'cd / && runuser -u postgres -- psql -XAtc "{sql}"'
    return bool(host.run(f"for i in $(seq 50); do [ $({ask}) = {expected} ] && exit; sleep 0.2; done; exit 1").rc == 0)


@pytest.mark.only_in("single_node")
def test_components_that_leave_are_stopped_and_removed(host: Any, left: str) -> None:
    assert "worker, redis leaves" in left.replace("\n", " ")
    for unit in ("airflow-worker@default.service", "redis-server.service"):
        assert not active(host, unit)
        assert host.run(f"systemctl is-enabled {unit}").stdout.strip() in ("disabled", "not-found", "")
    assert host.run("ls /etc/systemd/system/airflow-worker@*").rc != 0
    names = host.check_output("ls /etc/airflow/credentials").split()
    assert [name for name in names if name.startswith(("broker_url", "results"))] == []
    assert "database_url" in names
    # Data are nobody's to remove.
    assert host.file("/var/lib/redis").is_directory
    assert {"worker", "redis"} & {*record(host)["components"]} == set()


@pytest.mark.only_in("single_node")
@pytest.mark.usefixtures("left")
def test_their_sessions_end(host: Any) -> None:
    assert query_until(host, BACKEND, "0")


@pytest.mark.only_in("single_node")
def test_a_run_says_how_it_ended(left: str) -> None:
    assert re.search(r"^\S+ +: ok=\d+ +changed=\d+ +unreachable=0 +failed=0", left, flags=re.MULTILINE)
