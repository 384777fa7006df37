"""dbt: for operators, and for the tasks of DAGs; who can read its password."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from airstrip_airflow import Airflow
from airstrip_site import PROJECT, Site

ROWS = "anna|165\nben|30\ncarla|80"


def revenue(node: Any) -> str:
    """Return what the model has made, as the server says."""
    return str(
        node.check_output(
            "runuser -u postgres -- psql -At -d analytics -c 'SELECT customer, revenue FROM revenue ORDER BY customer'"
        )
    )


@pytest.mark.parametrize("verb", ["debug", "seed", "run", "test", "docs generate --static"])
def test_operators_run_it(node: Any, verb: str) -> None:
    result = node.run(f"dbt --no-use-colors {verb}")
    assert result.rc == 0, result.stdout + result.stderr


def test_it_has_made_the_model(node: Any) -> None:
    assert revenue(node) == ROWS
    assert node.file("/var/lib/dbt/target/static_index.html").size > 100_000


def test_an_argument_arrives_as_it_was(node: Any) -> None:
    result = node.run("dbt --no-use-colors show --inline %s --output json", "select '5% $HOME' as said")
    assert "5% $HOME" in result.stdout, result.stdout + result.stderr


def test_its_database_is_its_own(node: Any, site: Site) -> None:
    owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'analytics'"
    assert node.check_output("runuser -u postgres -- psql -At -c %s", owner) == "dbt"
    password = site.secrets["postgresql_role_dbt"]
    command = "PGPASSWORD={} psql -h 127.0.0.1 -U dbt -d {} -c 'SELECT 1'"
    assert node.run(command.format(password, "analytics")).rc == 0
    assert node.run(command.format(password, "airflow")).rc != 0


def test_no_task_can_read_its_password(node: Any, site: Site) -> None:
    password = site.secrets["postgresql_role_dbt"]
    assert node.run("runuser -u airflow -- cat /etc/airstrip/dbt/password").rc != 0
    assert password not in node.check_output(
        "cat /etc/airstrip/dbt/profiles.yml /etc/airstrip/dbt/run /usr/local/bin/dbt"
    )
    assert node.run("runuser -u airflow -- /usr/local/bin/dbt debug").rc != 0
    assert node.run("grep -rqs %s /opt/dbt /opt/dbt-project /var/lib/dbt /etc/systemd", password).rc == 1


def test_tasks_run_it_by_a_connection(node: Any, site: Site, airflow: Airflow) -> None:
    node.check_output("runuser -u postgres -- psql -q -d analytics -c 'DROP TABLE IF EXISTS revenue, orders CASCADE'")
    password = site.secrets["postgresql_role_dbt"]
    connection = {"connection_id": "dbt", "conn_type": "postgres", "host": "127.0.0.1", "login": "dbt"}
    airflow.request("POST", "/api/v2/connections", connection | {"password": password, "schema": "analytics"})
    dag = (PROJECT / "examples" / "workers" / "dags" / "dbt_bash.py").read_bytes()
    path = "/srv/airflow/dags/dbt_bash.py"
    node.check_output(f"echo {base64.b64encode(dag).decode()} | base64 -d >{path} && chmod 0644 {path}")
    airflow.wait_for_dag("dbt_bash", 180)
    airflow.request("PATCH", "/api/v2/dags/dbt_bash", {"is_paused": False})
    run = airflow.start_new("dbt_bash")
    state = airflow.wait("dbt_bash", run, 300)
    tasks = {task["task_id"]: task for task in airflow.tasks("dbt_bash", run)}
    logs = {name: airflow.log("dbt_bash", run, task) for name, task in tasks.items()}
    assert state == "success", logs
    assert revenue(node) == ROWS
    assert all(password not in text for text in logs.values())
    assert password not in json.dumps(tasks)
