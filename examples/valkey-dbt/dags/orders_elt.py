"""Brings the application's new orders into `analytics`, and lets dbt make of them what people look at.

Extract and load are Airflow's part, from the database `app` into the schema `raw` of `analytics`; the transformation is
dbt's. Its password comes from the connection `dbt`, reaches dbt in the environment of its process, and is masked.
"""

from __future__ import annotations

import datetime

from airflow.providers.postgres.hooks.postgres import PostgresHook
from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.sensors.date_time import DateTimeSensorAsync
from airflow.sdk import dag, task

FIELDS = ("id", "customer", "country", "cents", "placed_at")
TABLE = """
CREATE TABLE IF NOT EXISTS raw.orders (
    id bigint PRIMARY KEY,
    customer text NOT NULL,
    country text NOT NULL,
    cents integer NOT NULL,
    placed_at timestamptz NOT NULL
)
"""
NEW = "SELECT id, customer, country, cents, placed_at FROM orders WHERE id > %s AND placed_at <= %s ORDER BY id"
REVENUE = "SELECT country, orders, gross_cents FROM revenue_by_country ORDER BY country"
# dbt writes there what it makes of the project, which is root's.
STATE = "${TMPDIR:-/tmp}/dbt-{{ dag_run.dag_id }}"


def dbt(verb: str) -> BashOperator:
    """Return the task that runs one of dbt's commands."""
    return BashOperator(
        task_id=f"dbt_{verb}",
        bash_command=f'export DBT_TARGET_PATH="{STATE}/target" DBT_LOG_PATH="{STATE}/logs"; '
        f"/usr/local/bin/dbt --no-use-colors {verb}",
        env={"DBT_ENV_SECRET_PASSWORD": "{{ conn.dbt.password }}"},
        append_env=True,
    )


@dag(
    schedule="@daily",
    catchup=False,
    max_active_runs=1,
    start_date=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    default_args={"retries": 1, "retry_delay": datetime.timedelta(seconds=10)},
    tags=["example", "dbt"],
)
def orders_elt() -> None:
    """Extract and load by Airflow, transform by dbt."""
    # Orders that are being written when the run begins are committed by then. It waits in the triggerer, and takes no
    # slot of a worker.
    settled = DateTimeSensorAsync(
        task_id="wait_until_settled",
        target_time="{{ (dag_run.run_after + macros.timedelta(seconds=5)).isoformat() }}",
    )

    @task
    def extract(until: str) -> int:
        """Copy the orders that are new up to the beginning of the run; return how many. It can be repeated."""
        source, target = PostgresHook(postgres_conn_id="app"), PostgresHook(postgres_conn_id="dbt")
        target.run(["CREATE SCHEMA IF NOT EXISTS raw", TABLE])
        last = target.get_first("SELECT coalesce(max(id), 0) FROM raw.orders")[0]
        rows = source.get_records(NEW, parameters=(last, until))
        target.insert_rows("raw.orders", rows, target_fields=FIELDS)
        return len(rows)

    @task
    def report() -> dict[str, dict[str, int]]:
        """Return what dbt has made: orders and gross revenue by country."""
        rows = PostgresHook(postgres_conn_id="dbt").get_records(REVENUE)
        return {country: {"orders": orders, "gross_cents": int(cents)} for country, orders, cents in rows}

    loaded = extract("{{ dag_run.run_after.isoformat() }}")
    settled >> loaded >> dbt("seed") >> dbt("run") >> dbt("test") >> report()


orders_elt()
