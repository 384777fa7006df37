"""What FreshPoC's document says is on the host: versions, values, ports, limits, people, metrics."""

from __future__ import annotations

import configparser
import time
from typing import Any

import psycopg2
import pytest
import requests
from airstrip_airflow import Airflow
from airstrip_postgresql import sql
from airstrip_prometheus import Prometheus
from airstrip_site import Site

PORTS = {"ingestion": 8011, "miner": 8012, "analyzer": 8013, "writer": 8014, "query-api": 8015, "reporting": 8016}
TASKS = {"ingestion_trigger", "miner_run", "analyzer_run", "writer_apply", "report_generate"}


def status(person: Airflow, method: str, path: str, body: Any) -> int:
    """Return the HTTP status of a request as a person; 200 for all that is well."""
    try:
        person.request(method, path, body)
    except requests.HTTPError as error:
        return error.response.status_code
    return 200


@pytest.fixture
def person(site: Site, url: str, user: str) -> Airflow:
    """The API as somebody of the inventory's."""
    return Airflow(url, user, site.secrets[f"airflow_user_{user}"])


@pytest.mark.parametrize(
    ("section", "option", "value"),
    [
        ("core", "executor", "LocalExecutor"),
        ("core", "load_examples", "False"),
        ("scheduler", "max_dagruns_to_create_per_loop", "16"),
        ("scheduler", "max_tis_per_query", "512"),
        ("dag_processor", "parsing_processes", "2"),
        ("dag_processor", "refresh_interval", "30"),
        ("dag_processor", "min_file_process_interval", "30"),
    ],
)
def test_an_option_has_the_document_s_value(node: Any, section: str, option: str, value: str) -> None:
    config = configparser.ConfigParser(interpolation=None)
    config.read_string(node.file("/etc/airflow/airflow.cfg").content_string)
    assert config[section][option] == value


def test_the_database_is_postgresql_15(node: Any) -> None:
    assert sql(node, "SHOW server_version").startswith("15.")
    assert sql(node, "SHOW port") == "5432"


def test_no_broker_and_no_worker_runs(node: Any) -> None:
    units = node.check_output("systemctl list-units --plain --no-legend --state=active 'airflow-worker*' 'redis*'")
    assert units == ""


@pytest.mark.parametrize(("name", "port"), PORTS.items())
def test_a_service_answers_its_own_host_alone(node: Any, name: str, port: int) -> None:
    assert node.service(f"app-worker-{name}@1.service").is_running
    assert node.check_output(f"ss --listening --tcp --numeric --no-header 'sport = :{port}'").split()[3] == (
        f"127.0.0.1:{port}"
    )
    limit = node.check_output(f"systemctl show --property=MemoryMax --value app-worker-{name}@1.service")
    assert limit == str(256 * 1024 * 1024)


def test_the_dag_has_the_document_s_values(airflow: Airflow, deployed: str) -> None:
    dag = airflow.request("GET", f"/api/v2/dags/{deployed}/details")
    assert (dag["max_active_runs"], dag["timetable_summary"], dag["catchup"]) == (1, None, False)
    assert dag["start_date"].startswith("2025-10-03T00:00:00")
    assert {tag["name"] for tag in dag["tags"]} == {"poc", "local"}
    assert dag["params"]["repo"]["value"] == "https://github.com/dbt-labs/jaffle-shop-classic"
    tasks = airflow.request("GET", f"/api/v2/dags/{deployed}/tasks")["tasks"]
    assert {task["task_id"] for task in tasks} == TASKS
    for task in tasks:
        assert task["retries"] == 3
        assert task["retry_exponential_backoff"]
        span = task["execution_timeout"]
        assert span["days"] * 86400 + span["seconds"] == 30 * 60


@pytest.mark.parametrize(
    ("user", "refused"),
    [("operator", set()), ("reader", {"start", "connections"}), ("viewer", {"log", "start", "connections"})],
)
def test_people_may_what_their_role_says(person: Airflow, deployed: str, green: str, refused: set[str]) -> None:
    dag = f"/api/v2/dags/{deployed}"
    asked = {
        "dags": ("GET", dag, None),
        "log": ("GET", f"{dag}/dagRuns/{green}/taskInstances/miner_run/logs/1", None),
        # Whoever may start a run is told that this parameter is none.
        "start": ("POST", f"{dag}/dagRuns", {"logical_date": None, "conf": {"repo": 1}}),
        "connections": ("GET", "/api/v2/connections", None),
    }
    found = {name: status(person, *request) for name, request in asked.items()}
    expected = {"dags": 200, "log": 200, "start": 400, "connections": 200} | dict.fromkeys(refused, 403)
    assert found == expected


def test_the_first_administrator_has_the_document_s_address(node: Any) -> None:
    assert sql(node, "SELECT email FROM ab_user WHERE username = 'admin'") == "admin@example.com"


@pytest.mark.parametrize("password", ["admin", "airflow"])
def test_the_document_s_passwords_open_nothing(site: Site, url: str, password: str) -> None:
    with pytest.raises(requests.HTTPError, match="401"):
        Airflow(url, "admin", password)
    with site.tunnel("node-1", 5432) as port, pytest.raises(psycopg2.OperationalError, match="password auth"):
        psycopg2.connect(host="127.0.0.1", port=port, dbname="airflow", user="airflow", password=password)


@pytest.mark.usefixtures("green")
@pytest.mark.parametrize(
    "expression",
    [
        'sum(airflow_custom_task_duration_count{service="miner"}) > 0',
        'sum(airflow_ti_finish{dag_id="FreshPoC_E2E",task_id="miner_run",state="success"}) > 0',
        "count(airflow_scheduler_scheduler_loop_duration_count) > 0",
        'sum(freshpoc_requests_total{job="app_miner",path="/run",status="200"}) > 0',
        *(f'up{{job="app_{name.replace("-", "_")}",instance="node-1"}} == 1' for name in PORTS),
    ],
)
def test_prometheus_knows(prometheus: Prometheus, expression: str) -> None:
    limit = time.monotonic() + 120
    while not (found := prometheus.at_once(expression)):
        assert time.monotonic() < limit, f"nothing for {expression}"
        time.sleep(2)
    assert found


def test_an_app_s_role_may_what_it_needs_alone(node: Any) -> None:
    rights = (
        "SELECT has_table_privilege(role, 'node', 'INSERT'), has_table_privilege(role, 'node', 'SELECT'), "
        "has_database_privilege(role, 'airflow', 'CONNECT'), has_schema_privilege(role, 'public', 'CREATE') "
        "FROM unnest(ARRAY['graph_writer', 'graph_reader']) AS role"
    )
    assert sql(node, rights, "graph").split() == ["t|t|f|f", "f|t|f|f"]
