"""The commands of the compose file's document, by their counterparts."""

from __future__ import annotations

import re
from typing import Any

import pytest
import requests
from airstrip_airflow import Airflow
from airstrip_edge import wait_for
from airstrip_postgresql import sql
from airstrip_site import Site
from airstrip_units import active


def joined(result: Any) -> str:
    return " ".join(result.stdout.split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        # Three workers of 64 slots.
        (
            (
                '{"site_workers": [{"name": "default", "queues": ["default"], "concurrency": 64, '
                '"scale": {"min": 3, "max": 3, "target": 64, "longest_task_seconds": 300}}]}'
            ),
            r"node-1: the host has \d+ MB of memory, and its components need \d+ MB",
        ),
        ('{"preflight_postgresql_disk_mb": 99999999}', r"/var/lib/postgresql"),
        ('{"site_redis_engine": "redis"}', r"site_redis_engine is 'redis', and the site was installed with 'valkey'"),
    ],
)
def test_a_host_that_does_not_carry_it_is_refused(play: Any, arguments: str, said: str) -> None:
    result = play("site.yml", "--tags", "validate", "-e", arguments)
    assert result.returncode != 0
    assert re.search(said, joined(result)), result.stdout


def test_ps(play: Any) -> None:
    result = play("playbooks/status.yml")
    assert result.returncode == 0, result.stdout
    for name in ("postgresql", "redis", "api_server", "scheduler", "dag_processor", "triggerer", "flower"):
        assert re.search(rf"node-1\s+{name}\s+active", result.stdout), name
    assert len(re.findall(r"node-1\s+worker@default-\d\s+active", result.stdout)) == 3


@pytest.mark.usefixtures("airflow")
def test_airflow_cli(node: Any) -> None:
    listed = node.check_output("airflow dags list --output plain")
    assert {"app_orders", "orders_elt"} <= {line.split()[0] for line in listed.splitlines() if line.strip()}


def test_logs_of_the_scheduler(node: Any) -> None:
    assert len(node.check_output("journalctl --no-pager --unit airflow-scheduler --lines 5").splitlines()) >= 5


@pytest.mark.parametrize("verb", ["debug", "seed", "run", "test", "docs generate --static"])
def test_dbt(node: Any, ask: Any, verb: str) -> None:
    # What the DAG makes first, where it has not run yet.
    columns = "id bigint PRIMARY KEY, customer text, country text, cents integer, placed_at timestamptz"
    table = f"CREATE TABLE IF NOT EXISTS raw.orders ({columns})"
    sql(node, f"SET ROLE dbt; CREATE SCHEMA IF NOT EXISTS raw; {table}", "analytics")
    result = node.run(f"dbt --no-use-colors {verb}")
    assert result.rc == 0, result.stdout + result.stderr
    if verb == "debug":
        assert "Connection test: [OK connection ok]" in result.stdout
        assert all(line in result.stdout for line in ("user: dbt", "database: analytics", "schema: public"))
    if verb == "seed":
        assert ask("dbt", "analytics", "SELECT count(*) FROM public.countries") == [(4,)]
    if verb == "test":
        assert re.search(r"PASS=7 WARN=0 ERROR=0", result.stdout), result.stdout
    if verb.startswith("docs"):
        assert node.file("/var/lib/dbt/target/static_index.html").size > 100_000


def test_flower_shows_the_three_workers(site: Site) -> None:
    login = ("airflow", site.secrets["site_viewer_airflow"])

    def ask(path: str, who: tuple[str, str] | None = login) -> requests.Response:
        with requests.Session() as session:
            session.trust_env = False
            return session.get(f"{site.edge_url}/flower{path}", auth=who, timeout=30)

    def seen() -> list[str]:
        ask("/workers?refresh=1")
        return sorted(row["hostname"] for row in ask("/workers?json=1").json()["data"] if row["status"])

    wanted = [f"default-{number}@node-1" for number in (1, 2, 3)]
    wait_for(lambda: seen() == wanted, f"Flower shows {wanted}", 90)
    assert ask("/workers", None).status_code == 401


def test_down_keeps_the_data_and_up_brings_it_back(
    play: Any, node: Any, site: Site, airflow: Airflow, ask: Any
) -> None:
    state = "SELECT datname FROM pg_database WHERE NOT datistemplate ORDER BY 1"
    databases = ask("airflow", "airflow", state)
    seen = airflow.request("GET", "/api/v2/dags")["total_entries"]
    stopped = play("playbooks/stop.yml")
    assert stopped.returncode == 0, stopped.stdout
    try:
        assert active(node) == []
        with pytest.raises(requests.ConnectionError):
            requests.get(site.edge_url, timeout=10)
    finally:
        started = play("playbooks/start.yml")
    assert started.returncode == 0, started.stdout
    assert ask("airflow", "airflow", state) == databases
    assert airflow.request("GET", "/api/v2/dags")["total_entries"] == seen
    names = [name for name in active(node) if name.startswith("airflow-worker")]
    assert names == [f"airflow-worker@default-{number}.service" for number in (1, 2, 3)]
