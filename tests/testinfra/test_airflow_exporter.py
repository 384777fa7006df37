"""Role airflow_exporter: what it tells of a site that works, and what its login in the database can do."""

from __future__ import annotations

import json
import re
import shlex
import time
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
import testinfra
from airstrip_airflow import Airflow
from airstrip_postgresql import sql
from airstrip_site import Site

UNIT = "airstrip-airflow-exporter"
DIRECTORY = "/etc/airstrip/airflow-exporter"
SMOKE_TEST = "airstrip_smoke_test"
SERIES = re.compile(r"^(?P<name>[a-z_]+)(?:\{(?P<labels>.*)\})? (?P<value>\S+)$", re.MULTILINE)

# Asks the database from the host as the exporter does, statement by statement; prints rows, or the error's code.
ASK = """
import json, sys
import psycopg2
own = json.load(open(sys.argv[1] + "/settings.json"))
options = {"sslrootcert": own["sslrootcert"]} if own["sslrootcert"] else {}
connection = psycopg2.connect(
    host=own["host"], port=own["database_port"], dbname=own["database"], user=own["user"], sslmode=own["sslmode"],
    password=open(sys.argv[1] + "/password").read().strip(), connect_timeout=15, **options,
)
connection.autocommit = True
found = []
for statement in json.load(sys.stdin):
    with connection.cursor() as cursor:
        try:
            cursor.execute(statement)
            found.append([[str(value) for value in row] for row in cursor.fetchall()] if cursor.description else [])
        except psycopg2.Error as error:
            found.append(error.pgcode)
print(json.dumps(found))
"""

Metrics = Callable[[], dict[str, dict[str, float]]]
Ask = Callable[..., list[Any]]


@pytest.fixture(scope="module")
def metrics(site: Site, inventory_hostname: str) -> Metrics:
    """Read anew what the exporter tells: the value of each series, by metric and labels."""
    port = site.variable(inventory_hostname, "site_airflow_exporter_port")

    def read() -> dict[str, dict[str, float]]:
        # What is older is not said again.
        time.sleep(5.5)
        with (
            site.tunnel(inventory_hostname, port) as local,
            urllib.request.urlopen(f"http://127.0.0.1:{local}/metrics", timeout=30) as answer,
        ):
            text = answer.read().decode()
        found: dict[str, dict[str, float]] = {}
        for match in SERIES.finditer(text):
            found.setdefault(match["name"], {})[match["labels"] or ""] = float(match["value"])
        return found

    return read


@pytest.fixture(scope="module")
def ask(host: Any) -> Ask:
    """Ask the database as the exporter's login; an error is its code."""

    def answers(*statements: str) -> list[Any]:
        given = shlex.quote(json.dumps(statements))
        shown = host.check_output(f"echo {given} | /usr/bin/python3 -c {shlex.quote(ASK)} {DIRECTORY}")
        found: list[Any] = json.loads(shown)
        return found

    return answers


@pytest.fixture(scope="module")
def server(site: Site) -> Any:
    """The host of the database."""
    return testinfra.get_host(site.connection(site.group("postgresql")[0]))


@pytest.fixture(scope="module")
def login(host: Any) -> str:
    """The exporter's login in the database."""
    return str(json.loads(host.file(f"{DIRECTORY}/settings.json").content_string)["user"])


def total(found: dict[str, dict[str, float]], name: str) -> float:
    """Return the sum of all series of a metric; those that nothing was counted for may not be there yet."""
    return sum(found.get(name, {}).values())


def test_it_listens_on_loopback_alone(host: Any, site: Site, inventory_hostname: str) -> None:
    port = site.variable(inventory_hostname, "site_airflow_exporter_port")
    assert host.service(UNIT).is_running
    assert host.service(UNIT).is_enabled
    assert host.socket(f"tcp://127.0.0.1:{port}").is_listening
    assert not host.socket(f"tcp://{site.address(inventory_hostname)}:{port}").is_listening


def test_the_password_is_roots_and_in_no_process(host: Any) -> None:
    assert host.check_output(f"stat -c '%U %a' {DIRECTORY}/password") == "root 600"
    password = host.file(f"{DIRECTORY}/password").content_string.strip()
    assert len(password) >= 16
    main = host.check_output(f"systemctl show --property=MainPID --value {UNIT}")
    shown = host.check_output(f"cat /proc/{main}/cmdline /proc/{main}/environ | tr '\\0' '\\n'")
    assert "CREDENTIALS_DIRECTORY=" in shown
    assert password not in shown
    assert password not in host.check_output(f"systemctl cat {UNIT}; cat {DIRECTORY}/settings.json")
    assert password not in host.check_output(f"journalctl --unit={UNIT} --no-pager")
    assert host.check_output(f"ps -o user= -p {main}") not in ("root", "airflow", "postgres")


def test_all_is_told_of_a_site_that_works(metrics: Metrics, site: Site) -> None:
    found = metrics()
    assert found["airflow_exporter_up"] == {"": 1}
    assert set(found["airflow_exporter_function_up"].values()) == {1}
    queues = {queue for name in site.group("airflow_worker") for worker in site.variable(name, "site_workers")
              for queue in worker["queues"]}  # fmt: skip
    for name in ("celery_queue_length", "airflow_oldest_queued_task_age_seconds", "worker_tasks_processed_total",
                 "worker_task_failures_total", "airflow_task_retries_total"):  # fmt: skip
        assert {f'queue="{queue}"' for queue in queues} <= set(found[name]), name
    states = {'state="scheduled",queue="default"', 'state="running",queue="default"', 'state="queued",queue="default"'}
    assert states <= set(found["airflow_task_instances"])
    assert found["airflow_pool_slots"]['pool="default_pool"'] > 0
    assert set(found["airflow_dag_runs"]) == {'state="queued"', 'state="running"'}
    assert found["airflow_dags"]['state="active"'] >= 1
    assert sum(found["airflow_import_errors"].values()) == 0
    for component in ("scheduler", "dag_processor", "triggerer"):
        ages = [age for labels, age in found["airflow_job_heartbeat_age_seconds"].items() if component in labels]
        assert len(ages) >= len(site.group(f"airflow_{component}"))
        assert min(ages) < 60


def test_each_try_of_a_run_is_counted_once(metrics: Metrics, airflow: Airflow) -> None:
    before = metrics()
    run = airflow.start(SMOKE_TEST)
    assert airflow.wait(SMOKE_TEST, run) == "success"
    tries = len(airflow.tasks(SMOKE_TEST, run))
    assert tries > 3
    finished = f'dag_id="{SMOKE_TEST}",state="success"'
    # Also in readings to come, in which the same rows are seen again.
    for _ in range(3):
        after = metrics()
        for name in ("worker_tasks_processed_total", "worker_task_duration_seconds_count"):
            assert total(after, name) - total(before, name) == tries, name
        assert total(after, "worker_task_failures_total") == total(before, "worker_task_failures_total")
        runs = before.get("airflow_dag_runs_finished_total", {}).get(finished, 0)
        assert after["airflow_dag_runs_finished_total"][finished] - runs == 1
    assert total(after, "airflow_task_run_seconds_total") > total(before, "airflow_task_run_seconds_total")
    assert f'dag_id="{SMOKE_TEST}"' in after["airflow_dag_run_duration_seconds_sum"]


def test_the_login_reads_no_table_and_no_column(ask: Ask, server: Any) -> None:
    listed = sql(server, "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname = 'public'")
    tables = listed.splitlines()
    assert {"public.connection", "public.variable", "public.xcom", "public.ab_user", "public.task_instance"} <= {
        *tables
    }
    answers = ask(*(f"TABLE {table} LIMIT 1" for table in tables))
    # 42501: insufficient privilege.
    assert {table: code for table, code in zip(tables, answers, strict=True) if code != "42501"} == {}


def test_the_login_writes_makes_and_becomes_nothing(ask: Ask) -> None:
    assert ask("SHOW default_transaction_read_only", "SHOW statement_timeout") == [[["on"]], [["10s"]]]
    refused = [
        "DELETE FROM public.xcom", "CREATE TABLE public.x (i int)", "CREATE TABLE airstrip.x (i int)",
        "CREATE SCHEMA x", "CREATE TEMPORARY TABLE x (i int)", "SET ROLE airflow", "SET ROLE postgres",
        "CREATE ROLE x", "SELECT pg_read_file('/etc/passwd')", "COPY (SELECT 1) TO PROGRAM 'true'",
        "ALTER FUNCTION airstrip.dags() SECURITY INVOKER", "SELECT rolpassword FROM pg_authid",
    ]  # fmt: skip
    # Its own setting is no more than a seat belt.
    answers = ask("SET default_transaction_read_only = off", *refused)[1:]
    assert {statement: code for statement, code in zip(refused, answers, strict=True) if code != "42501"} == {}


def test_the_login_may_call_its_functions_and_they_alone_run_as_the_owner(server: Any, login: str) -> None:
    rows = sql(
        server,
        "SELECT proname, pg_get_userbyid(proowner), prosecdef, array_to_string(proconfig, ' ') LIKE"
        " 'search_path=pg_catalog, pg_temp%' FROM pg_proc WHERE pronamespace = 'airstrip'::regnamespace",
    ).splitlines()
    names = {"task_states", "run_states", "pools", "jobs", "import_errors", "dags", "runs", "tries"}
    names |= {"life", "canary", "clean_canary"}
    assert {row.split("|")[0] for row in rows} == names
    assert {row.split("|", 1)[1] for row in rows} == {"airflow|t|t"}
    allowed = sql(
        server,
        "SELECT DISTINCT rolname FROM pg_proc, pg_roles WHERE pronamespace = 'airstrip'::regnamespace"
        " AND NOT rolsuper AND has_function_privilege(rolname, pg_proc.oid, 'EXECUTE')",
    )
    assert {*allowed.splitlines()} == {login, "airflow"}
    members = sql(server, "SELECT pg_get_userbyid(member), pg_get_userbyid(roleid) FROM pg_auth_members").splitlines()
    assert not any(login in row.split("|") for row in members)
    limits = dict(row.split("|") for row in sql(server, "SELECT rolname, rolconnlimit FROM pg_roles").splitlines())
    assert int(limits[login]) > 0


def test_functions_hold_up_no_migration(server: Any, login: str) -> None:
    scratch = "airstrip_metrics_test"
    sql(server, f"DROP DATABASE IF EXISTS {scratch}", "postgres")
    sql(server, f"CREATE DATABASE {scratch} OWNER airflow TEMPLATE template0", "postgres")
    try:
        server.check_output(
            "cd / && runuser -u postgres -- bash -c 'set -o pipefail;"
            f" pg_dump --schema-only airflow | psql --quiet --set=ON_ERROR_STOP=1 --output=/dev/null {scratch}'"
        )
        assert sql(server, "SELECT count(*) FROM airstrip.task_states()", scratch) == "0"
        sql(server, "ALTER TABLE task_instance RENAME queued_dttm TO other", scratch)
        sql(server, "ALTER TABLE dag ALTER owners TYPE text", scratch)
        sql(server, "DROP TABLE import_error", scratch)
        become = f"SET ROLE {login}"
        with pytest.raises(AssertionError, match=r"queued_dttm does not exist"):
            sql(server, "; ".join((become, "SELECT count(*) FROM airstrip.task_states()")), scratch)
        with pytest.raises(AssertionError, match=r"public\.import_error.* does not exist"):
            sql(server, "; ".join((become, "SELECT count(*) FROM airstrip.import_errors()")), scratch)
        assert sql(server, "; ".join((become, "SELECT count(*) FROM airstrip.dags()")), scratch) == "0"
    finally:
        sql(server, f"DROP DATABASE {scratch}", "postgres")


def test_what_fails_is_named_and_the_rest_goes_on(metrics: Metrics, server: Any, login: str, host: Any) -> None:
    sql(server, f"REVOKE EXECUTE ON FUNCTION airstrip.pools() FROM {login}")
    try:
        found = metrics()
    finally:
        sql(server, f"GRANT EXECUTE ON FUNCTION airstrip.pools() TO {login}")
    assert found["airflow_exporter_up"] == {"": 1}
    fails = {labels for labels, works in found["airflow_exporter_function_up"].items() if not works}
    assert fails == {'function="pools"'}
    assert "airflow_pool_slots" not in found
    assert "airflow_task_instances" in found
    assert "permission denied for function pools" in host.check_output(f"journalctl --unit={UNIT} --no-pager --lines=5")
    assert "airflow_pool_slots" in metrics()


def test_without_the_database_gauges_are_gone_and_counters_stay(metrics: Metrics, server: Any, login: str) -> None:
    before = metrics()
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'airstrip-airflow-exporter'"
    sql(server, f"ALTER ROLE {login} NOLOGIN")
    try:
        sql(server, end)
        found = metrics()
    finally:
        sql(server, f"ALTER ROLE {login} LOGIN")
    assert found["airflow_exporter_up"] == {"": 0}
    gone = {"airflow_task_instances", "celery_queue_length", "airflow_pool_slots", "airflow_job_heartbeat_age_seconds"}
    assert gone.isdisjoint(found)
    assert found["worker_tasks_processed_total"] == before["worker_tasks_processed_total"]
    after = metrics()
    assert after["airflow_exporter_up"] == {"": 1}
    assert gone <= set(after)
    assert total(after, "worker_tasks_processed_total") >= total(before, "worker_tasks_processed_total")
